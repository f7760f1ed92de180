"""Asks up to which learning rate each method trains a network, by depth and condition.

Each seed has a largest stable learning rate, which a bisection encloses to a factor of sqrt 2:
`limits.py`.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import pandas as pd
from matplotlib.figure import Figure

from keras_wn import methods
from keras_wn.study import canvas, comparisons, estimates, forest, limits, table
from keras_wn.study.blocks import Block, Paragraph, Table, figures_of
from keras_wn.study.canvas import Panel, line_of, panel, short
from keras_wn.study.fields import Count, MethodName, ModelName, Option
from keras_wn.study.formatting import MISSING, with_unit
from keras_wn.study.question import ABSTRACT, READ, Claim, Question, Reported, Verdicts
from keras_wn.study.questions import signal
from keras_wn.study.specs import BASELINE, Done, Planner, TrialSpec
from keras_wn.study.table import TrialTable
from keras_wn.study.trial_lists import TrialLinks
from keras_wn.study.verdicts import (
    CONFIDENCE,
    EQUAL,
    FAILS,
    HOLDS,
    Verdict,
    conclude,
    decide,
)

# Kernels of zeros have no direction. Logs of the first versions of this protocol count their
# rates, which are immense, and no rate of a network that trains comes near this one.
_LARGEST_RATE = 1e30


@dataclasses.dataclass(frozen=True)
class Condition:
    """A condition under which the limits of some methods are searched.

    Attributes:
        models: Names of networks.
        methods: Names of methods. None for all.
        warmup_epochs: Lengths of the warm-up, each of which is a condition.
        options: Groups of fields of `TrainConfig` with their values, each a condition.
        batch_size, train_size, train_epochs: As `TrialSpec`'s.
    """

    models: tuple[ModelName, ...]
    methods: tuple[MethodName, ...] | None
    warmup_epochs: tuple[float, ...]
    options: tuple[tuple[Option, ...], ...]
    batch_size: Count
    train_size: Count | None
    train_epochs: Count


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of the search, which are those of the question on stability.

    Attributes:
        seeds: Seeds, each of which has a limit.
        lowest: The lowest learning rate of the grid.
        conditions: The conditions.
        side_by_side: Whether all seeds search at once. Otherwise a seed starts where the seed
            before it ended, which saves half of the trials.
    """

    name: ClassVar[str] = "stability"
    seeds: Count
    lowest: float
    conditions: tuple[Condition, ...]
    side_by_side: bool = False


def plan(planner: Planner, done: Done) -> list[TrialSpec]:
    """The trials of the searches for limits that are known by now."""
    found = limits.limits_of(planner, done)
    return list({spec.id: spec for limit in found for spec in limit.trials}.values())


def judge(trials: TrialTable) -> Verdict:
    """C6: whether deep nets train less stably with the paper's methods."""
    plain, seeds = limits.plain(trials), trials.protocol.of("stability").seeds
    measured = plain[plain["method"].isin(methods.FAMILY)]["model"]
    model = max(set(measured), key=table.depth, default=None)
    compared = [
        limits.compared(
            method,
            limits.of(plain, model, method),
            limits.of(plain, model, BASELINE),
            f"largest stable learning rate of bn divided by its own, on {model}",
            seeds,
            margin=math.log2(limits.FACTOR),
        )
        for method in methods.FAMILY
    ]
    return conclude(
        decide(compared, (seeds,), trials.protocol.level),
        needs=f"limits of bn and of wn, normprop or wn_trelu for {seeds} seeds",
    )


def _evidence(trials: TrialTable, verdict: Verdict, links: TrialLinks) -> Iterator[Block]:
    if len(limits.found(trials)):
        yield Paragraph(
            "A trial is stable if its loss stays finite and it learns its training images better "
            f"than {100 * limits.learned_from(trials.classes):g} %. For each seed, the search "
            "encloses the largest stable learning rate to a factor of √2. If a trial learned "
            "nothing at a rate below those that its method is tuned in, the search goes on above "
            "it, and below it if no larger rate learns, either."
        )
    yield from figures_of(
        "Largest stable learning rates, with 95 % intervals over seeds: against bn on the deepest "
        "network, by depth as they are set and divided by ‖v‖² (where the length of v has no "
        "effect, this is the step of its direction), and under other conditions.",
        [*_against_baseline(verdict), *_by_depth(trials), *by_condition(trials)],
    )
    if len(limits.searches(trials)):
        yield _all_limits(trials, links)
    yield from signal.evidence(trials)


def _against_baseline(verdict):
    rows = forest.of_pieces(
        verdict.pieces,
        lambda piece: short(piece.comparison.name),
        lambda piece: with_unit(piece.estimate, "octaves", piece.comparison.is_bound),
    )
    alt = f"Largest stable learning rate of {BASELINE} divided by that of the others."
    title = f"limit of {BASELINE} / its own limit (band: equal)"
    margin = math.log2(limits.FACTOR)
    return forest.draw("limit_ratios", alt, rows, title, margin=margin, in_octaves=True)


def _by_depth(trials: TrialTable) -> list[Panel]:
    """Draws the limits by network, as they are set and effective ones."""
    plain = limits.plain(trials)
    if not len(plain):
        return []
    effective = plain.assign(octaves=plain.apply(lambda row: _effective(trials, row), axis=1))
    shown = (
        ("limits_by_depth", "largest stable learning rate", plain),
        ("effective_limits", "the same, divided by ‖v‖²", effective.dropna(subset=["octaves"])),
    )
    return [
        panel(
            name,
            f"{title[0].upper()}{title[1:]}, by depth and method: geometric mean and interval.",
            lambda figure, title=title, found=found: _draw_by_depth(figure, found, title),
            height=4.2,
        )
        for name, title, found in shown
        if len(found)
    ]


def _effective(trials, row):
    """log2 of the limit divided by the mean square of ||v|| at the start, NaN if unknown."""
    for trial in row["trials"]:
        rates, rate = trials.done[trial].get("effective_rate"), None
        if rates and rates["start"] and rates["start"] < _LARGEST_RATE:
            rate = trials.done[trial]["spec"]["learning_rate"]
            return row["octaves"] + math.log2(rates["start"] / rate)
    return math.nan


def _draw_by_depth(figure: Figure, found: pd.DataFrame, title: str):
    axes = figure.subplots()
    models = sorted(set(found["model"]), key=table.depth)
    names = table.methods_of(found)
    for i, method in enumerate(names):
        shift = 0.6 * (i / max(1, len(names) - 1) - 0.5)
        style = line_of(method)
        places, values = [], []
        for place, model in enumerate(models):
            own = limits.of(found, model, method)
            if not len(own):
                continue
            estimate = limits.mean(own)
            places.append(place + shift)
            values.append(2**estimate.value)
            if math.isfinite(estimate.low):
                ends = [2**estimate.low, 2**estimate.high]
                axes.plot([place + shift] * 2, ends, color=style["color"], lw=1.2)
        axes.plot(places, values, **{**style, "ls": ":"})
    canvas.make_logarithmic(axes.yaxis)
    axes.set_xticks(range(len(models)), map(short, models))
    axes.set_ylabel(title)
    canvas.legend(figure, [line_of(method) for method in names])


def by_condition(trials: TrialTable) -> list[Panel]:
    """Draws the limits of other starts, warm-ups and batch sizes beside the plain ones."""
    found = limits.found(trials)
    plain = set(limits.plain(trials).index)
    models = [m for m in set(found["model"]) if set(found.index[found["model"] == m]) - plain]
    panels = []
    for number, model in enumerate(sorted(models, key=table.depth), start=1):
        on_model = found[found["model"] == model]
        rows = []
        for method in table.methods_of(on_model):
            own = on_model[on_model["method"] == method]
            keys = ["batch_size", "options", "warmup_epochs"]
            for i, (key, group) in enumerate(own.groupby(keys, sort=True)):
                label, mean = f"{method}{condition_in_words(*key)}", limits.mean(group)
                text = limits.rates(mean, group["bracket"])
                rows.append(forest.Row(label, method, mean, text, is_apart=i == 0))
        alt = f"Largest stable learning rates on {model}, by start, warm-up and batch size."
        title = f"largest stable learning rate, {model} (line: that of {BASELINE})"
        is_plain = on_model.index.isin(plain) & (on_model["method"] == BASELINE)
        baseline = on_model[is_plain]["octaves"]
        reference = float(baseline.mean()) if len(baseline) else None
        panels += forest.draw(
            f"limits_{number}", alt, rows, title, reference=reference, in_octaves=True
        )
    return panels


def condition_in_words(batch_size: int, options: tuple, warmup_epochs: float) -> str:
    """A condition of the search, for example `, start 1, batch of 256`.

    Example:

    >>> condition_in_words(32, (("branch_scale", 1.0),), 5.0)
    ', start 1, warm-up 5'
    """
    words = [f"start {value:g}" for name, value in options if name == "branch_scale"]
    words += [f"{name} {value:g}" for name, value in options if name != "branch_scale"]
    if warmup_epochs:
        words.append(f"warm-up {warmup_epochs:g}")
    if batch_size != 32:
        words.append(f"batch of {batch_size}")
    return "".join(f", {word}" for word in words)


def _all_limits(trials, links):
    rows = []
    keys = ["model", "batch_size", "options", "warmup_epochs", "method"]
    groups = limits.searches(trials).groupby(keys, sort=False)
    for (model, *condition, method), found in sorted(
        groups, key=lambda g: (table.depth(g[0][0]), str(g[0][1:4]), table.method_place(g[0][4]))
    ):
        known, text = found[found["bracket"].notna()], MISSING
        if len(known):
            estimate = estimates.of_mean(known["octaves"]).interval(CONFIDENCE)
            text = limits.rates(estimate, known["bracket"])
        ids = [trial for of_seed in found["trials"] for trial in of_seed]
        without = len(found) - len(known)
        seeds = f"{len(known)} ({without} without a limit)" if without else str(len(known))
        name = f"{method}, {model}{condition_in_words(*condition)}"
        rows.append((name, links.link(text, ids), seeds))
    columns = ("Method, network and condition", "Geometric mean [95 % interval]", "Seeds")
    caption = "Largest stable learning rates. A seed has no limit if a trial crashed."
    return Table(caption, columns, tuple(rows))


def findings(verdicts: Verdicts) -> Sequence[str]:
    """The sentence on the stability of deep networks."""
    words = {
        HOLDS: "only smaller learning rates train at all",
        FAILS: "larger learning rates train",
        EQUAL: "about the same learning rates train",
    }
    pieces = [piece for piece in verdicts["C6"].pieces if piece.decides]
    return [
        comparisons.in_words("Stability of deep networks", pieces, words, _times_smaller_or_larger)
    ]


def _times_smaller_or_larger(piece):
    """The factor between bn's learning rate and a method's, the way round that the sentence has."""
    estimate = piece.estimate
    if piece.outcome != HOLDS:
        low, high = -estimate.high, -estimate.low
        estimate = dataclasses.replace(estimate, value=-estimate.value, low=low, high=high)
    return with_unit(estimate, "octaves", piece.comparison.is_bound)


QUESTION = Question(
    name="stability",
    settings=Settings,
    plan=plan,
    claims=(
        Claim(
            key="C6",
            text="Deep nets train less stably with WN, NormProp and WN with TReLU than with batch "
            "normalization.",
            rule="Holds for a method if its largest stable learning rate is decidably smaller "
            "than bn's, fails if decidably larger, and is equal if within a factor of 2. It is "
            "that of the deepest network, with the smallest batch, the start of the card and no "
            "warm-up. Other depths, batches, starts and warm-ups stand beside. The factor is our "
            "choice, because learning rates are commonly searched in steps of 2 or more.",
            judge=judge,
            evidence=_evidence,
            reported=(
                Reported(
                    "Training of deep networks is significantly less stable than with BN.",
                    ABSTRACT,
                    READ,
                ),
            ),
        ),
    ),
    findings=findings,
    place=3,
)
