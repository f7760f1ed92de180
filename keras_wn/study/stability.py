"""Summarizes the suites stability and signal: where training breaks, and how signals change."""

import dataclasses
import math
import re

import numpy as np
import pandas as pd

from keras_wn.study import statistics, table
from keras_wn.study.statistics import Estimate
from keras_wn.study.table import TrialTable

# A variance that is ten times as large or as small as another counts as changed, which is a norm
# that differs by a factor of 3.2. The factor is this study's choice.
FACTOR = 10.0


@dataclasses.dataclass(frozen=True)
class Limit:
    """The largest stable learning rate of one seed: all lower rates of the grid are stable, too.

    Attributes:
        learning_rate: The rate, or None if the lowest one is unstable.
        censored: `at least` if all rates are stable, `below` if the lowest one is not: the limit
            then lies beyond the grid. None if the grid includes it.
        decades: log10 of the rate; if there is none, one step of the grid below the lowest.
    """

    learning_rate: float | None
    censored: str | None
    decades: float

    @classmethod
    def from_grid(cls, grid: list[float], stable: list[bool]) -> "Limit":
        """Finds the limit of a seed.

        Args:
            grid: Learning rates, in ascending order.
            stable: Whether training was stable at each of them.

        Example:

        >>> Limit.from_grid([0.01, 0.1, 1.0], [True, False, True])
        Limit(learning_rate=0.01, censored=None, decades=-2.0)
        """
        count = next((i for i, is_stable in enumerate(stable) if not is_stable), len(grid))
        if count == 0:
            step = math.log10(grid[1] / grid[0]) if len(grid) > 1 else 0.0
            return cls(None, "below", math.log10(grid[0]) - step)
        rate = grid[count - 1]
        return cls(rate, "at least" if count == len(grid) else None, math.log10(rate))


@dataclasses.dataclass(frozen=True, eq=False)
class SweepCell:
    """The trials of one method and network at one learning rate.

    Attributes:
        learning_rate: The rate.
        trials: The trials, one a seed.
        diverged: Number of seeds whose loss was not finite.
        not_learned: Number of seeds that finished with a validation top-1 below
            `table.learned_from`.
        unstable: Share of seeds that did either, with Wilson's interval; None if all crashed.
    """

    learning_rate: float
    trials: pd.DataFrame
    diverged: int
    not_learned: int
    unstable: Estimate | None


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
    """One method's trials on one network, over the grid of learning rates.

    Attributes:
        method, model: Names.
        trials: All of the trials.
        cells: The grid, by learning rate.
        limits: From a seed to its limit. A seed with a trial that crashed or is still to be run
            has none.
        decades: Mean of the limits' decades, or None.
        sensitivity: Sensitivity to the learning rate, in top-1 from 0 to 1, or None: how far
            validation top-1 is below its best of the grid, averaged over the grid, with guessing
            for unstable trials. Seeds without a stable rate are left out.
    """

    method: str
    model: str
    trials: pd.DataFrame
    cells: tuple[SweepCell, ...]
    limits: dict[int, Limit]
    decades: Estimate | None
    sensitivity: Estimate | None

    @property
    def decades_by_seed(self) -> pd.Series:
        """The limits' decades, with the seeds as the index."""
        return pd.Series({seed: limit.decades for seed, limit in self.limits.items()}, dtype=float)


@dataclasses.dataclass(frozen=True, eq=False)
class Stability:
    """The stability suite.

    Attributes:
        models: Names of the networks, from the shallowest to the deepest.
        methods: Names of the methods.
        sweeps: From (model, method) to the sweep; empty if the suite has no trials.
    """

    models: tuple[str, ...]
    methods: tuple[str, ...]
    sweeps: dict[tuple[str, str], Sweep]


def summarize_stability(trials: TrialTable) -> Stability:
    """Summarizes the stability suite by network and method."""
    found = trials.select(suite="stability")
    models = tuple(sorted(set(found["model"]), key=depth))
    methods = table.methods_of(found)
    planned = (trials.protocol.get("stability") or {}).get("learning_rates") or ()
    grid = sorted({*planned, *found["learning_rate"]})
    sweeps = {
        (model, method): _sweep(model, method, swept, grid, trials.classes)
        for model in models
        for method in methods
        if len(swept := found[(found["model"] == model) & (found["method"] == method)])
    }
    return Stability(models, methods, sweeps)


def depth(model: str) -> tuple[int, str]:
    """Key that sorts networks by the last number in their name, which is their depth.

    Example:

    >>> sorted(["cifar_resnet20", "cifar_resnet8"], key=depth)
    ['cifar_resnet8', 'cifar_resnet20']
    """
    numbers = re.findall(r"\d+", model)
    return (int(numbers[-1]) if numbers else 0, model)


def _sweep(model, method, trials, grid, classes):
    ran = trials[trials["status"] != "crashed"]
    reached = ran.assign(reached=ran["validation"].mask(ran["unstable"], 1 / classes))
    unstable = _by_seed_and_rate(reached, "unstable", grid)
    tops = _by_seed_and_rate(reached, "reached", grid)[~unstable.all(axis=1)]
    limits = {seed: Limit.from_grid(grid, ~row.to_numpy(bool)) for seed, row in unstable.iterrows()}
    return Sweep(
        method=method,
        model=model,
        trials=trials,
        cells=tuple(_cell(rate, trials[trials["learning_rate"] == rate]) for rate in grid),
        limits=limits,
        decades=table.mean([limit.decades for limit in limits.values()]),
        sensitivity=table.mean(tops.max(axis=1) - tops.mean(axis=1)),
    )


def _by_seed_and_rate(trials, column, grid):
    """Returns a column as seeds by rates. Seeds that did not run at all rates are left out."""
    last = trials.drop_duplicates(["seed", "learning_rate"], keep="last")
    wide = last.pivot(index="seed", columns="learning_rate", values=column)
    return wide.reindex(columns=grid).dropna().astype(last[column].dtype)


def _cell(rate, trials):
    ran = trials[trials["status"] != "crashed"]
    diverged, failed = int((ran["status"] == "diverged").sum()), int(ran["unstable"].sum())
    share = statistics.wilson_interval(failed, len(ran)) if len(ran) else None
    return SweepCell(rate, trials, diverged, failed - diverged, share)


@dataclasses.dataclass(frozen=True)
class SignalProfile:
    """The signal by block at one epoch: medians over seeds, with infinity for overflow.

    Attributes:
        epoch: The epoch.
        n: Number of seeds.
        blocks: Names of the blocks, from the input on.
        variance, gradient_norm: Medians by block.
        ratio: Median of the last block's variance divided by the first block's.
    """

    epoch: float
    n: int
    blocks: tuple[str, ...]
    variance: tuple[float, ...]
    gradient_norm: tuple[float, ...]
    ratio: float


@dataclasses.dataclass(frozen=True)
class Drift:
    """The number of seeds that did as the paper reports.

    Attributes:
        n: Number of seeds that were measured at the start and later.
        preserved: Seeds whose last block's variance was within `FACTOR` of the first block's at
            the first measured epoch.
        blown_up: Seeds whose last block's variance grew by `FACTOR` or more from the first
            measured epoch to the last.
        vanished: Seeds whose first block's variance fell by `FACTOR` or more in that time.
    """

    n: int
    preserved: int
    blown_up: int
    vanished: int


@dataclasses.dataclass(frozen=True, eq=False)
class MethodSignal:
    """One method's signal.

    Attributes:
        trials: The trials.
        profiles: The signal by block, by epoch.
        drift: How it changed.
    """

    trials: pd.DataFrame
    profiles: tuple[SignalProfile, ...]
    drift: Drift


def summarize_signal(trials: TrialTable) -> dict[str, MethodSignal]:
    """Summarizes the signal suite by method, in the order of tables."""
    found = trials.select(suite="signal")
    by_method = {name: found[found["method"] == name] for name in table.methods_of(found)}
    return {name: _summarize_signal(found) for name, found in by_method.items()}


def _summarize_signal(trials):
    measured = _measurements(trials)
    profiles = tuple(_profile(epoch, at_epoch) for epoch, at_epoch in measured.groupby("epoch"))
    return MethodSignal(trials, profiles, _drift(measured))


def _measurements(trials):
    """Returns a frame with a row a trial, epoch and block."""
    rows = [
        {"trial": trial.id, "epoch": measured["epoch"], "place": place, **block}
        for trial in trials.itertuples()
        for measured in trial.signal
        for place, block in enumerate(measured["blocks"])
    ]
    columns = ["trial", "epoch", "place", "block", "variance", "gradient_norm"]
    frame = pd.DataFrame(rows, columns=columns)
    # A number that is not finite is null in the log. It overflowed.
    return frame.astype({"variance": float, "gradient_norm": float}).fillna(math.inf)


def _profile(epoch, measured):
    medians = measured.groupby("place")[["variance", "gradient_norm"]].median()
    ends = measured.groupby("trial")["variance"].agg(["first", "last"])
    ratios = [_ratio(last, first) for first, last in ends.itertuples(index=False)]
    return SignalProfile(
        epoch=epoch,
        n=len(ends),
        blocks=tuple(measured.drop_duplicates("place")["block"]),
        variance=tuple(medians["variance"]),
        gradient_norm=tuple(medians["gradient_norm"]),
        ratio=float(np.median(ratios)),
    )


def _drift(measured):
    changes = []
    for _, trial in measured.groupby("trial"):
        ends = [at_epoch["variance"] for _, at_epoch in trial.groupby("epoch")]
        if len(ends) > 1:
            changes.append((ends[0].iloc[0], ends[0].iloc[-1], ends[-1].iloc[0], ends[-1].iloc[-1]))
    return Drift(
        n=len(changes),
        preserved=sum(1 / FACTOR <= _ratio(last, first) <= FACTOR for first, last, _, _ in changes),
        blown_up=sum(_ratio(later, last) >= FACTOR for _, last, _, later in changes),
        vanished=sum(_ratio(later, first) <= 1 / FACTOR for first, _, later, _ in changes),
    )


def _ratio(above, below):
    if math.isinf(below):
        return 1.0 if math.isinf(above) else 0.0
    if below == 0:
        return 1.0 if above == 0 else math.inf
    return above / below
