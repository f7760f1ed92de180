"""Searches for a method's settings and for its largest stable learning rates.

Both searches are the same for each method. A setting that is chosen depends on the validation split
alone.
"""

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import qmc

from keras_wn import methods
from keras_wn.study.specs import Choice, Done, Planner, Setting, TrialSpec
from keras_wn.training.config import BASE_BATCH_SIZE

# Trials of a search have the seeds from here on. Final trials have the seeds from 0 on.
SEED = 10_000
# A best value in the outer eighth of what was tried lies at an edge.
_EDGE = 1 / 8
# An extension reaches beyond an edge by this share of the range.
_EXTENSION = 1 / 2
# Below these values there is nothing to find: no warm-up, and a decay without effect.
_NATURAL = {"warmup_share", "weight_decay"}

Ranges = Mapping[str, tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Scored:
    """A setting that was tried.

    Attributes:
        setting: `Setting`.
        top1: Mean validation top-1 over the tuning seeds, with guessing for trials that diverged.
        loss: Mean validation loss; infinite if a trial diverged.
        trials: Identities of its trials.
    """

    setting: Setting
    top1: float
    loss: float
    trials: tuple[str, ...]


def search_of(method: str, planner: Planner, done: Done) -> tuple[list[TrialSpec], Choice | None]:
    """The trials of a method's search so far, and its choice, None before they are done.

    All settings are tried, then more beyond the edges of the best one. If the protocol has `rungs`,
    that is done with the epochs of the lowest rung. The best settings go on to the next rung, where
    fewer of them are trained anew for more epochs.

    Reference: successive halving, Jamieson & Talwalkar 2016, AISTATS, arXiv 1502.07943.
    """
    tuning, batch_size = planner.protocol.tuning, planner.protocol.batch_size
    seeds = range(SEED, SEED + tuning.seeds)
    low, high = methods.get(method).learning_rate_range
    ranges = {
        "learning_rate": tuple(rate * batch_size / BASE_BATCH_SIZE for rate in (low, high)),
        "weight_decay": tuning.weight_decay,
        "warmup_share": tuning.warmup_share,
    }
    specs = []

    def tried(setting, number, epochs):
        own = [
            planner.spec("accuracy", "tune", method, setting, seed, epochs, number=number)
            for seed in seeds
        ]
        specs.extend(own)
        return score(setting, own, planner, done)

    (epochs, _), *rungs = tuning.rungs or [(planner.protocol.train_epochs, None)]
    scored = []
    for count in (tuning.settings, tuning.extension):
        for setting in settings(ranges, len(scored), count):
            scored.append(tried(setting, len(scored), epochs))
        if None in scored:
            return specs, None
        ranges = extended(ranges, scored)
    best = list(enumerate(scored))
    for epochs, count in rungs:
        best = sorted(best, key=lambda pair: rank(pair[1]))[:count]
        best = [(number, tried(old.setting, number, epochs)) for number, old in best]
        if any(new is None for _, new in best):
            return specs, None
    return specs, choose([new for _, new in best], scored)


def score(
    setting: Setting, specs: Iterable[TrialSpec], planner: Planner, done: Done
) -> Scored | None:
    """The mean validation metrics of a setting, or None before its trials are done."""
    specs = list(specs)
    if any(spec.id not in done for spec in specs):
        return None
    top1, loss = zip(*(_validation(done[spec.id], planner.classes) for spec in specs), strict=True)
    ids = tuple(spec.id for spec in specs)
    return Scored(setting, statistics.fmean(top1), statistics.fmean(loss), ids)


def _validation(record, classes):
    """Validation top-1 and loss of a trial, with guessing for one that did not finish."""
    if record["status"] != "finished":
        return 1 / classes, float("inf")
    metrics = record["final"]["validation"]
    return metrics["top1"], metrics["loss"]


def settings(ranges: Ranges, first: int, count: int) -> list[Setting]:
    """Points of the search: Halton's sequence over the ranges, logarithmic but for the warm-up.

    Args:
        ranges: Mapping from the fields of `Setting` to pairs of floats.
        first, count: Place of the first point in the sequence, from 0, and their number.

    Example:

    >>> ranges = {
    ...     "learning_rate": (0.01, 1.0), "weight_decay": (1e-4, 1e-2), "warmup_share": (0.0, 0.4)
    ... }
    >>> [round(setting.learning_rate, 4) for setting in settings(ranges, 0, 3)]
    [0.1, 0.0316, 0.3162]
    """
    sequence = qmc.Halton(d=3, scramble=False)
    sequence.fast_forward(first + 1)  # The first point is a corner of the ranges.
    return [
        Setting(
            _logarithmic(x, ranges["learning_rate"]),
            _logarithmic(y, ranges["weight_decay"]),
            _linear(z, ranges["warmup_share"]),
        )
        for x, y, z in sequence.random(count)
    ]


def extended(ranges: Ranges, scored: Sequence[Scored]) -> dict[str, tuple[float, float]]:
    """The ranges of an extension, which lie beyond each edge at which the best setting lies.

    The ranges of the other numbers stay, so that a method without an edge gets as many trials.
    """
    best = _best(scored)
    found = dict(ranges)
    for name, (low, high) in ranges.items():
        side = _edge(name, best, scored)
        reach = (high - low) * _EXTENSION if name == "warmup_share" else (high / low) ** _EXTENSION
        if side == "high":
            found[name] = (high, high + reach if name == "warmup_share" else high * reach)
        elif side == "low":
            found[name] = (low / reach, low)
    return found


def choose(scored: Sequence[Scored], tried: Sequence[Scored] | None = None) -> Choice:
    """The best setting by validation top-1, ties by validation loss.

    If no setting stayed finite, it is the one with the lowest learning rate, so that the method is
    reported, and not dropped.

    Args:
        scored: The settings to choose from.
        tried: All settings that were tried, which have the edges. `scored` if not given.
    """
    best = _best(scored)
    edges = tuple(
        field.name
        for field in dataclasses.fields(Setting)
        if _edge(field.name, best, tried or scored) is not None
    )
    return Choice(best.setting, best.top1, best.trials, edges)


def rank(scored: Scored) -> tuple[float, ...]:
    """Key that sorts settings, the best one first."""
    return -scored.top1, scored.loss, scored.setting.learning_rate


def _best(scored):
    return min(scored, key=rank)


def _edge(name, best, scored):
    """`low` or `high` if the value of the best setting lies at that edge of all, else None."""
    is_linear = name == "warmup_share"
    values = [getattr(s.setting, name) for s in scored]
    value, low, high = getattr(best.setting, name), min(values), max(values)
    if not is_linear:
        value, low, high = np.log([value, low, high])
    if low == high:
        return None
    share = (value - low) / (high - low)
    if share > 1 - _EDGE:
        return "high"
    return "low" if share < _EDGE and name not in _NATURAL else None


def _logarithmic(share, bounds):
    low, high = np.log(bounds)
    # Rounded to four digits, which a report can print.
    return float(f"{np.exp(low + share * (high - low)):.4g}")


def _linear(share, bounds):
    return round(float(bounds[0] + share * (bounds[1] - bounds[0])), 3)


# The learning rates that a bisection can try lie half an octave apart: 31 of them, of which five
# trials find the last stable one.
_RATES = 31
_STEP = 0.5


@dataclasses.dataclass(frozen=True)
class Bracket:
    """The largest stable learning rate of a seed, to a factor of sqrt 2.

    Attributes:
        stable: The largest rate that was stable, or None if none was.
        unstable: The smallest rate that was unstable, or None if none was.
    """

    stable: float | None
    unstable: float | None

    @property
    def octaves(self) -> float:
        """log2 of the limit: the middle of the bracket.

        Where all rates or none are stable, it is half a step beyond the end of the grid.
        """
        if self.stable is None:
            return float(np.log2(self.unstable)) - _STEP / 2
        return float(np.log2(self.stable)) + _STEP / 2

    @property
    def is_censored(self) -> bool:
        """Whether the limit lies beyond the grid."""
        return self.stable is None or self.unstable is None


def bisect(
    lowest: float,
    key: Sequence[Any],
    is_below: Callable[[float], bool | None],
    guess: float | None = None,
) -> tuple[list[float], Bracket | None]:
    """Searches a grid of learning rates until two neighbors enclose the limit.

    The grid's offset, from 0 to half an octave, is drawn by `key`. The limit then lies anywhere in
    its bracket with the same probability, so that the bracket's middle is an unbiased estimate.
    From the guess, steps of growing length lead to a stable and an unstable rate, between which the
    distance is halved.

    Args:
        lowest: Positive float, the lowest rate of a grid with offset 0.
        key: Numbers and texts that name the seed and the condition.
        is_below: Function of a rate: whether it is below the limit, or None if it was not tried.
        guess: The limit of another seed, in octaves. It saves trials, and has no influence on the
            bracket if all rates on either side of the limit are told alike. None starts in the
            middle.

    Returns:
        Pair of the rates that are known to be needed, in the order of the search, and the
        `Bracket`, None before all of them are tried.

    Example:

    >>> rates, bracket = bisect(0.002, ("wn", 0), lambda rate: rate < 0.5)
    >>> len(rates), bracket.stable < 0.5 < bracket.unstable
    (5, True)
    """
    drawn = np.random.default_rng([ord(letter) for letter in "/".join(map(str, key))])
    octaves = np.log2(lowest) + _STEP * (np.arange(_RATES) + drawn.uniform())
    grid = [float(f"{2**octave:.4g}") for octave in octaves]
    first, step = _RATES // 2, _RATES // 4 + 1
    if guess is not None:
        first, step = int(np.clip(np.searchsorted(octaves, guess), 0, _RATES - 1)), 1
    low, high, tried = -1, _RATES, []
    while high - low > 1:
        if not tried:
            place = first
        elif low >= 0 and high < _RATES:
            place = (low + high) // 2
        else:
            place = min(low + step, _RATES - 1) if low >= 0 else max(high - step, 0)
            step *= 2
        tried.append(grid[place])
        below = is_below(grid[place])
        if below is None:
            return tried, None
        low, high = (place, high) if below else (low, place)
    return tried, Bracket(grid[low] if low >= 0 else None, grid[high] if high < _RATES else None)
