"""Asks whether regularizers close weight normalization's gap, and whether bn's noise makes it.

A cell is a change of a method's tuned setting, such as dropout. Each method's cell is chosen by the
validation split, on seeds of the search, and scored on the final seeds. The baseline gets the same
cells. It is also trained with the statistics of smaller and larger batches, whose noise is larger
and smaller.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import pandas as pd

from keras_wn.study import comparisons, estimates, forest, search, table
from keras_wn.study.blocks import Block, figures_of
from keras_wn.study.estimates import Estimate
from keras_wn.study.fields import Count, MethodName, Option
from keras_wn.study.formatting import points, with_unit
from keras_wn.study.question import ABSTRACT, READ, Claim, Question, Reported, Verdicts
from keras_wn.study.questions import accuracy
from keras_wn.study.specs import BASELINE, SPLITS, Choice, Done, Planner, TrialSpec
from keras_wn.study.table import TrialTable
from keras_wn.study.trial_lists import TrialLinks
from keras_wn.study.verdicts import (
    CONFIDENCE,
    EQUAL,
    FAILS,
    HOLDS,
    UNDECIDED,
    UNMEASURED,
    Verdict,
    conclude,
)

# The settings that the claim is about: dropout and weight decay.
_OF_CLAIM = {"dropout", "weight_decay", "decay_on"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """The regularizers that are tried.

    Attributes:
        methods: Methods besides the baseline.
        cells: Groups of fields of `TrainConfig` with their values, each a change of the tuned
            setting. The first field of a cell names its kind.
        seeds: Seeds of each cell while it is chosen.
        statistics_batches: Numbers of images whose statistics the baseline takes.
        statistics_seeds: Seeds of each of these.
    """

    name: ClassVar[str] = "regularization"
    methods: tuple[MethodName, ...]
    cells: tuple[tuple[Option, ...], ...]
    seeds: Count
    statistics_batches: tuple[Count, ...]
    statistics_seeds: Count


def plan(planner: Planner, done: Done) -> list[TrialSpec]:
    """The trials that choose and score cells, and those with other batches' statistics."""
    protocol, specs = planner.protocol, []
    asked: Settings = protocol.of("regularization")
    for method in dict.fromkeys((BASELINE, *asked.methods)):
        specs += accuracy.plan_method(method, planner, done)
        _, choice = search.search_of(method, planner, done)
        if choice is None:
            continue
        tried, chosen = _cells(method, choice, planner, done)
        specs += tried
        for stage, cell in chosen.items():
            specs += [
                _with_cell(
                    planner, stage, method, choice, seed, cell, splits=SPLITS, keeps_correct=True
                )
                for seed in range(protocol.seeds)
            ]
        if method == BASELINE:
            specs += [
                planner.chosen(
                    "regularization",
                    "statistics",
                    method,
                    choice,
                    seed,
                    options=(("statistics_batch", size),),
                    splits=("train", "test"),
                )
                for size in asked.statistics_batches
                for seed in range(asked.statistics_seeds)
            ]
    return specs


def _cells(method, choice, planner, done):
    """The trials that choose a cell so far, and, when they are done, the chosen cells by stage.

    After all cells, the best ones of the two best kinds are tried together. If the best cell has
    more than the dropout and weight decay of the claim, the best one of these two is chosen, too.
    """
    asked: Settings = planner.protocol.of("regularization")
    seeds = range(search.SEED, search.SEED + asked.seeds)
    # Trials without a regularizer tell what each cell changes.
    specs = [_with_cell(planner, "plain", method, choice, seed, ()) for seed in seeds]
    scores = {}

    def tried(cell, stage):
        own = [_with_cell(planner, stage, method, choice, seed, cell) for seed in seeds]
        specs.extend(own)
        scores[cell] = search.score(choice.setting, own, planner, done)

    def ranked():
        return sorted(scores, key=lambda cell: (-scores[cell].top1, scores[cell].loss))

    for cell in asked.cells:
        tried(cell, "grid")
    if None in scores.values():
        return specs, {}
    best_of_kind = {}
    for cell in ranked():
        best_of_kind.setdefault(cell[0][0], cell)
    first, second, *_ = [*best_of_kind.values(), None]
    if second is not None:
        tried((*first, *second), "combined")
        if None in scores.values():
            return specs, {}
    best, *_ = ranked()
    chosen = {"scored": best}
    of_claim = [cell for cell in ranked() if set(dict(cell)) <= _OF_CLAIM]
    if method != BASELINE and of_claim and of_claim[0] != best:
        chosen["scored_alone"] = of_claim[0]
    return specs, chosen


def _with_cell(planner, stage, method, choice: Choice, seed, cell, **more):
    changes = dict(cell)
    setting = dataclasses.replace(
        choice.setting, weight_decay=changes.pop("weight_decay", choice.setting.weight_decay)
    )
    return planner.chosen(
        "regularization",
        stage,
        method,
        dataclasses.replace(choice, setting=setting),
        seed,
        options=tuple(changes.items()),
        **more,
    )


def scored_trials(trials: TrialTable, method: str, stage: str = "scored") -> pd.DataFrame:
    """The trials that score a method with the regularizers that were chosen for it.

    Those of the stage `scored_alone` have the best dropout or weight decay, if others are better.
    """
    return trials.select(suite="regularization", stage=stage, method=method)


def cell_in_words(trials: pd.DataFrame) -> str:
    """The regularizers of some trials, for example `dropout 0.5`.

    Weight decay is named if it is part of the cell, which it is with `decay_on`.
    """
    if not len(trials):
        return "regularizers"
    first = trials.iloc[0]
    options = dict(first["options"])
    words = []
    if decay_on := options.pop("decay_on", None):
        target = {"v": "v", "v_and_g": "v and g"}[decay_on]
        words.append(f"weight decay {first['weight_decay']:g} on {target}")
    words += [f"{name.replace('_', ' ')} {value:g}" for name, value in options.items()]
    return " and ".join(words)


def share_closed(trials: TrialTable) -> Estimate | None:
    """The share of wn's gap to bn in test top-1 that regularization closes."""
    frames = (scored_trials(trials, "wn"), trials.finals("wn"), trials.finals(BASELINE))
    scored, wn, bn = (table.finished(frame)["test"] for frame in frames)
    closed, gap = (scored - wn).dropna(), (bn - wn).dropna()
    common = closed.index.intersection(gap.index)
    if len(common) < 2:
        return None
    return estimates.share_of(closed[common], gap[common], CONFIDENCE)


def judge(trials: TrialTable) -> Verdict:
    """C5: whether regularizers leave weight normalization's gap open."""
    wn, bn = trials.finals("wn"), trials.finals(BASELINE)
    scored, bn_scored = (scored_trials(trials, method) for method in ("wn", BASELINE))
    # The paper tried dropout and weight decay alone.
    alone = scored_trials(trials, "wn", "scored_alone")
    rule = {"above": FAILS, "below": HOLDS, "margin": trials.protocol.margin}

    def compared(name, first, second=bn, equal=FAILS):
        return comparisons.in_top1(trials, name, first, second, equal=equal, **rule)

    wn_cell, bn_cell = cell_in_words(scored), cell_in_words(bn_scored)
    before = compared("wn as tuned", wn, equal=EQUAL)
    after = compared(f"wn with {wn_cell}", scored)
    others = [compared(f"wn with {cell_in_words(alone)}", alone)] if len(alone) else []
    others += [
        compared(f"wn with {wn_cell}, against bn with {bn_cell}", scored, bn_scored, EQUAL),
        compared(f"bn with {bn_cell}", bn_scored, equal=EQUAL),
    ]
    if before.latest is None or after.latest is None:
        return conclude([], needs="the cells of wn, and final trials of bn and of wn")
    [gap] = comparisons.decided(trials, [before])
    [left] = comparisons.decided(trials, [after])
    others = comparisons.decided(trials, [o for o in others if o.latest], decides=False)
    if gap.outcome != HOLDS:
        reason = {
            EQUAL: "There is no gap to close: wn as tuned is equal to bn within the margin.",
            FAILS: "There is no gap to close: wn as tuned tests above bn.",
        }.get(gap.outcome, "Whether there is a gap to close is undecided.")
        outcome = EQUAL if gap.outcome == EQUAL else UNDECIDED
        return Verdict(outcome, (gap, left, *others), reason)
    share = share_closed(trials)
    is_known = share is not None and math.isfinite(share.low) and math.isfinite(share.high)
    remark = f"It closes {with_unit(share, 'share')} of the gap." if is_known else ""
    beside = dataclasses.replace(gap, decides=False)
    return conclude([left, beside, *others], needs="", remark=remark)


def _evidence(trials: TrialTable, verdict: Verdict, links: TrialLinks) -> Iterator[Block]:
    rows = forest.of_pieces(
        verdict.pieces,
        lambda piece: piece.comparison.name.replace(", against", "\nagainst"),
        lambda piece: points(piece.estimate),
    )
    yield from figures_of(
        "Test top-1, each minus bn as tuned unless another is named.",
        forest.draw(
            "regularized",
            "Test top-1 with the best regularizers minus bn's.",
            rows,
            "difference, points (band: equal)",
            trials.protocol.margin,
        ),
    )
    tuned = table.methods_of(trials.select(suite="regularization", stage="plain"))
    cells = {method: list(_cell_rows(trials, method)) for method in tuned}
    panels = []
    for number, (method, rows) in enumerate(cells.items(), start=1):
        alt = f"Validation top-1 of {method} with each regularizer, minus that without."
        title = f"validation top-1 minus {method}'s, points"
        panels += forest.draw(f"cells_{number}", alt, rows, title)
    yield from figures_of(
        "What each regularizer changes on the validation split, over the seeds of the search. The "
        "best one is then scored on the final seeds.",
        panels,
    )
    yield from comparisons.table_of_rows(
        "The same in numbers: validation top-1 minus that without, points [95 % interval].",
        cells,
        links,
    )
    yield from _noise(trials, links)


def _cell_rows(trials, method):
    found = trials.select(suite="regularization", method=method)
    plain = table.finished(found[found["stage"] == "plain"])["validation"]
    tried = found[found["stage"].isin(["grid", "combined"])]
    cells = tried.groupby(["stage", "weight_decay", "options"], sort=False)
    for _, group in sorted(cells, key=lambda cell: _cell_place(*cell[0])):
        difference = table.paired_difference(100 * table.finished(group)["validation"], 100 * plain)
        yield forest.row_of_trials(cell_in_words(group), method, difference, group)


def _cell_place(stage, weight_decay, options):
    """Key that sorts cells: the combined one, decays, and other regularizers by their strength."""
    rest = dict(options)
    decay_on = rest.pop("decay_on", "")
    return stage == "grid", not decay_on, decay_on, tuple(rest.items()), weight_decay


def _noise(trials, links):
    """The baseline's test top-1 by the images of its statistics, and `wn`, against the baseline."""
    baseline = trials.finals(BASELINE)
    found = trials.select(suite="regularization", stage="statistics", method=BASELINE)
    rows = []
    for options, group in sorted(found.groupby("options"), key=lambda pair: pair[0]):
        difference = trials.difference(group, baseline)
        label = f"{BASELINE}, statistics of {dict(options)['statistics_batch']}"
        rows.append(forest.row_of_trials(label, BASELINE, difference, group))
    finals = trials.finals("wn")
    if rows and len(finals):
        difference = trials.difference(finals, baseline)
        rows.append(forest.row_of_trials("wn", "wn", difference, finals, is_apart=True))
    alt = f"Test top-1 minus {BASELINE}'s with its own batches, by the images of its statistics."
    title = f"test top-1 minus that of {BASELINE} with batches of {trials.protocol.batch_size}"
    yield from figures_of(
        "The noise of batch normalization: statistics of fewer images have more of it. If this "
        "noise were its whole lead, statistics of many images would test as wn does. The intervals "
        "are over seeds, without the noise of the test images.",
        forest.draw("noise", alt, rows, f"{title}, points", margin=trials.protocol.margin),
    )
    yield from comparisons.table_of_rows(
        "The same in numbers.",
        {"Test top-1 minus bn's with its own batches, points [95 % interval]": rows},
        links,
    )


def findings(verdicts: Verdicts) -> Sequence[str]:
    """The sentence on regularization."""
    verdict = verdicts["C5"]
    if verdict.outcome == UNMEASURED:
        return ["Whether regularization closes the gap was not measured in this study."]
    main = next(piece for piece in verdict.pieces if piece.decides)
    words = {
        HOLDS: "does not close the whole gap to batch normalization",
        FAILS: "closes the gap to batch normalization",
    }
    if main.comparison.name.startswith("wn with") and main.outcome in words:
        extra = verdict.reason.split(". ", 1)[1:] or [""]
        name = main.comparison.name.removeprefix("wn with ")
        return [f"The best regularizer, {name}, {words[main.outcome]}. {extra[0]}".strip()]
    return [f"Regularization: {verdict.reason[0].lower()}{verdict.reason[1:]}"]


QUESTION = Question(
    name="regularization",
    settings=Settings,
    plan=plan,
    claims=(
        Claim(
            key="C5",
            text="Dropout and weight decay do not close weight normalization's gap in test "
            "accuracy to batch normalization.",
            rule="Decided only if wn as tuned tests decidably below bn: else there is no gap to "
            "close. Then holds if wn with the regularizers that are best on validation still tests "
            "decidably below bn as tuned, and fails if decidably above, or equal within {margin:g} "
            "points. Beside it stands the share of the gap that is closed, with Fieller's "
            "interval, and bn with its own best regularizers.",
            judge=judge,
            evidence=_evidence,
            reported=(
                Reported(
                    "Dropout and weight decay did not compensate for BN's regularization.",
                    ABSTRACT,
                    READ,
                ),
            ),
        ),
    ),
    findings=findings,
    place=2,
)
