"""Asks what a training step of each method costs.

Steps are timed in turns, while nothing else runs, on a batch in memory. The bytes that a step
moves on a TPU are added to the log by `compare.py --add_benchmark`.
"""

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import pandas as pd

from keras_wn import methods
from keras_wn.study import estimates, forest, table
from keras_wn.study.blocks import Block, Table, figures_of
from keras_wn.study.fields import Count, ModelName
from keras_wn.study.formatting import MISSING, fixed, interval, listed, significant
from keras_wn.study.question import (
    ABSTRACT,
    NOTES,
    READ,
    SECOND_HAND,
    Claim,
    Question,
    Reported,
    Verdicts,
)
from keras_wn.study.specs import BASELINE, UNNORMALIZED, Done, Planner, Setting, TrialSpec
from keras_wn.study.table import TrialTable
from keras_wn.study.trial_lists import TrialLinks
from keras_wn.study.verdicts import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Comparison,
    Piece,
    Verdict,
    conclude,
    decide,
)

# C1: a share of the step that counts as significant.
SIGNIFICANT_SHARE = 0.10
# C2: a step that takes less than this times the step without normalization is not slowed down.
SLOWDOWN = 1.05
# A rate that keeps the weights finite while steps are timed.
_SETTING = Setting(learning_rate=1e-4, weight_decay=1e-4, warmup_share=0.0)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The network and the batches whose steps are timed.

    Attributes:
        model: Name of a network.
        image_size: Height and width.
        batch_sizes: Batch sizes, for each of which all methods are timed.
        steps: Steps of a round.
        rounds: Rounds, in each of which all methods take a turn.
    """

    name: ClassVar[str] = "cost"
    model: ModelName
    image_size: Count
    batch_sizes: tuple[Count, ...]
    steps: Count
    rounds: Count


def plan(planner: Planner, done: Done) -> list[TrialSpec]:
    """A trial of each method and batch size, all timed in turns."""
    del done  # Nothing is chosen.
    asked: Settings = planner.protocol.of("cost")
    compared = tuple(dict.fromkeys((UNNORMALIZED, *planner.methods)))
    return [
        planner.spec(
            "cost",
            "step",
            method,
            _SETTING,
            seed=0,
            train_epochs=1,
            train_size=None,
            model=asked.model,
            batch_size=batch_size,
            splits=(),
            beside=compared,
        )
        for batch_size in asked.batch_sizes
        for method in compared
    ]


def step_seconds(
    trials: TrialTable, method: str, batch_size: int
) -> tuple[pd.Series | None, pd.Series | None]:
    """Seconds of a step by round of a method, and of none in the same rounds.

    Either is None if it was not timed.
    """
    timed = {"suite": "cost", "batch_size": batch_size, "status": "finished"}
    own = trials.select(method=method, **timed)
    if not len(own):
        return None, None
    last = own.iloc[-1]
    # A study that was given more methods later has timed the method `none` with each group.
    plain = trials.select(method=UNNORMALIZED, beside=last["beside"], **timed)
    return (
        pd.Series(last["step_seconds"]),
        pd.Series(plain["step_seconds"].iloc[-1]) if len(plain) else None,
    )


def _compared(
    trials: TrialTable,
    names: Sequence[str],
    quantity: str,
    unit: str,
    ratio: Callable[[pd.Series, pd.Series], pd.Series],
    **rule: object,
) -> list[Piece]:
    """Compares seconds of steps with those of none in the same rounds, by batch size and method."""
    comparisons = []
    for batch_size in sorted(set(trials.select(suite="cost")["batch_size"])):
        for method in names:
            own, plain = step_seconds(trials, method, batch_size)
            found = None if own is None or plain is None else estimates.of_mean(ratio(own, plain))
            timed = [trials.select(suite="cost", method=m)["id"] for m in (method, UNNORMALIZED)]
            ids = (*timed[0], *timed[1])
            name = f"{method}, batch of {batch_size}"
            comparisons.append(
                Comparison(name, quantity, unit, (found,), pairs="rounds", trials=ids, **rule)
            )
    return decide(comparisons, (trials.protocol.of("cost").rounds,), trials.protocol.level)


def judge_share(trials: TrialTable) -> Verdict:
    """C1: whether batch normalization takes a significant share of a training step."""
    pieces = _compared(
        trials,
        [BASELINE],
        "share of the step in normalization",
        "share",
        lambda own, plain: 1 - plain / own,
        bound=SIGNIFICANT_SHARE,
        above=HOLDS,
        below=FAILS,
    )
    return conclude(
        pieces,
        needs="steps of bn and of none timed in turns",
        remark="The share on this machine is tested, and not its cause.",
    )


def judge_slowdown(trials: TrialTable) -> Verdict:
    """C2: whether the paper's methods slow a training step down."""
    pieces = _compared(
        trials,
        methods.FAMILY,
        "step time divided by that of none",
        "ratio",
        lambda own, plain: own / plain,
        bound=SLOWDOWN,
        above=FAILS,
        below=HOLDS,
    )
    return conclude(pieces, needs="steps of wn, normprop or wn_trelu and of none timed in turns")


def _evidence_of_share(trials: TrialTable, verdict: Verdict, links: TrialLinks) -> Iterator[Block]:
    if drawn := _drawn(
        verdict, "step_share", "share of the step in normalization", SIGNIFICANT_SHARE, 0.0
    ):
        yield from drawn
        yield _step_times(trials, links)
        yield from _bytes(trials)


def _evidence_of_slowdown(
    trials: TrialTable, verdict: Verdict, links: TrialLinks
) -> Iterator[Block]:
    yield from _drawn(verdict, "step_ratio", "step time / that of none", SLOWDOWN, 1.0)


def _drawn(verdict, name, title, bound, reference):
    rows = forest.of_pieces(
        verdict.pieces,
        lambda piece: piece.comparison.name,
        lambda piece: interval(piece.estimate, lambda x: significant(x, 3)),
    )
    alt = f"{title}: {', '.join(row.label for row in rows)}, with 95 % intervals."
    title = f"{title} (dotted: {bound:g})"
    return figures_of(
        "Mean over rounds, in which the methods take turns, with 95 % intervals.",
        forest.draw(name, alt, rows, title, reference=reference, bound=bound),
    )


def _step_times(trials, links):
    timed = trials.select(suite="cost")
    sizes = sorted(set(timed["batch_size"]))
    rows = []
    for method in table.methods_of(timed):
        row = [method]
        for size in sizes:
            found = timed[(timed["method"] == method) & (timed["batch_size"] == size)]
            seconds, plain = step_seconds(trials, method, size)
            if seconds is None:
                row += [MISSING, MISSING]
                continue
            milliseconds, text = fixed(1000 * statistics.median(seconds), 0), MISSING
            if plain is not None:
                low, middle, high = (seconds / plain).quantile([0.25, 0.5, 0.75])
                text = f"{fixed(middle, 3)} ({fixed(low, 3)} to {fixed(high, 3)})"
            row += [links.link(milliseconds, found["id"]), links.link(text, found["id"])]
        rows.append(tuple(row))
    columns = [""]
    for size in sizes:
        columns += [f"Step of {size}, ms", f"Step of {size} / that of none: median (quartiles)"]
    asked: Settings = trials.protocol.of("cost")
    caption = (
        f"Time of a training step of {asked.model} at {asked.image_size} pixels: medians over "
        f"{asked.rounds} rounds."
    )
    return Table(caption, tuple(columns), tuple(rows))


def _bytes(trials):
    """The bytes that a step moves on a TPU, a table for each benchmark that was added."""
    columns = ("", "Bytes moved, GB", "/ those of the first", "Memory, GB")
    for record in trials.benchmarks:
        first = record["rows"][0]["moved"]
        rows = tuple(
            (
                row["name"],
                fixed(row["moved"] / 1e9, 1),
                fixed(row["moved"] / first, 3),
                fixed(row["total"] / 1e9, 1),
            )
            for row in record["rows"]
        )
        caption = f"Of a chip, by the compiler's figures: {record['title']}."
        yield Table(f"{caption} Nothing ran on a TPU.", columns, rows)


def findings(verdicts: Verdicts) -> list[str]:
    """The sentence on the cost."""
    share, slowdown = verdicts["C1"], verdicts["C2"]
    pieces = [piece for piece in share.pieces if piece.estimate]
    if not pieces:
        return ["The time of a training step was not measured in this study."]
    costs = " and ".join(
        f"{100 * p.estimate.value:.0f} % with a {p.comparison.name.split(', ')[1]}" for p in pieces
    )
    slowed = [p for p in slowdown.pieces if p.outcome == FAILS]
    undecided = [p for p in slowdown.pieces if p.outcome == UNDECIDED]
    rest = "the weight normalizations add less than 5 % to it"
    if slowed:
        rest = f"more than 5 % is added to it by {_by_method(slowed)}"
    if undecided:
        so_far = f"{rest}; " if slowed else ""
        rest = f"{so_far}whether 5 % is added by {_by_method(undecided)} is undecided"
    return [f"On this machine, batch normalization takes {costs} of a training step; {rest}."]


def _by_method(pieces):
    """The methods of steps, each with its numbers by the batch."""
    found: dict[str, list[str]] = {}
    for piece in pieces:
        method, batch = piece.comparison.name.split(", ")
        number = f"{significant(piece.estimate.value)}× with a {batch}"
        found.setdefault(method, []).append(number)
    return listed([f"{method} ({', '.join(numbers)})" for method, numbers in found.items()])


QUESTION = Question(
    name="cost",
    settings=Settings,
    plan=plan,
    claims=(
        Claim(
            key="C1",
            text="Batch normalization takes a significant share of the training time.",
            rule="Holds for a batch size if the share of a step of bn that a step without "
            "normalization does not take is decidably above 10 %, and fails if decidably below. "
            "The pairs are rounds, in which the methods take turns. That 10 % is significant is "
            "our choice.",
            judge=judge_share,
            evidence=_evidence_of_share,
            reported=(
                Reported(
                    "A significant fraction of the run time; bound by memory bandwidth.",
                    ABSTRACT,
                    READ,
                ),
                Reported(
                    "24 % of ResNet's compute on a Pascal GPU, where convolutions take 60 %.",
                    NOTES,
                    SECOND_HAND,
                ),
            ),
        ),
        Claim(
            key="C2",
            text="WN, NormProp and WN with TReLU do not slow training steps.",
            rule="Holds for a method and batch size if its step takes decidably less than 1.05 "
            "times that of the net without normalization, and fails if decidably more. The 1.05 "
            "is our choice.",
            judge=judge_slowdown,
            evidence=_evidence_of_slowdown,
            reported=(Reported("They do not slow down training iterations.", ABSTRACT, READ),),
        ),
    ),
    findings=findings,
    place=4,
)
