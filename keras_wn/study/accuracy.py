"""Summarizes the suites accuracy and regularization: the top-1 that each method reaches."""

import dataclasses
import math
from statistics import median

import pandas as pd

from keras_wn.study import search, statistics, table
from keras_wn.study.statistics import Estimate
from keras_wn.study.table import BASELINE, SPLITS, TrialTable


@dataclasses.dataclass(frozen=True)
class Center:
    """The middle of several runs, by two statistics.

    Attributes:
        iqm: Interquartile mean, with a bootstrap interval.
        mean: Mean, with Student's t interval.
    """

    iqm: Estimate
    mean: Estimate

    @classmethod
    def from_values(cls, values: pd.Series) -> "Center | None":
        """Returns the center of these values, or None if there are none."""
        if not len(values):
            return None
        return cls(statistics.stratified_bootstrap([values]), statistics.mean_interval(values))


@dataclasses.dataclass(frozen=True)
class Target:
    """The number of epochs until validation top-1 reached the protocol's target.

    Attributes:
        epochs: The first measured epoch of each seed that reached it; None for a seed that did not.
        median: The median over seeds, where a seed that did not reach the target counts as
            infinite. None if the median is infinite or there are no seeds.
    """

    epochs: tuple[float | None, ...]
    median: float | None

    @classmethod
    def from_curves(cls, curves: list[dict], top1: float | None) -> "Target":
        """Finds the epochs at which these curves reach a validation top-1.

        Args:
            curves: The trials' curves. Those without validation figures are left out.
            top1: The target, from 0 to 1; None if the protocol has no target.
        """
        measured = [c for c in curves if c.get("validation")] if top1 is not None else []
        epochs = tuple(_first_epoch(curve, top1) for curve in measured)
        middle = median(math.inf if e is None else e for e in epochs) if epochs else math.inf
        return cls(epochs, None if math.isinf(middle) else middle)

    @property
    def reached(self) -> int:
        """Number of seeds that reached the target."""
        return sum(epoch is not None for epoch in self.epochs)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A method minus the baseline, paired by seed. Each number is None without a pair.

    Attributes:
        train, test: Mean difference in final top-1, which is from 0 to 1.
        gap: Mean difference in train minus test top-1.
        improvement: Probability that a run of the method tests better than a run of the baseline.
    """

    train: Estimate | None
    test: Estimate | None
    gap: Estimate | None
    improvement: Estimate | None

    @classmethod
    def from_trials(cls, trials: pd.DataFrame, baseline: pd.DataFrame) -> "Comparison":
        """Compares the final trials of a method with those of the baseline."""
        tests = [table.by_seed(found, "test") for found in (trials, baseline)]
        return cls(
            train=table.paired_mean(*(table.by_seed(t, "train") for t in (trials, baseline))),
            test=table.paired_mean(*tests),
            gap=table.paired_mean(*(table.gaps_by_seed(t) for t in (trials, baseline))),
            improvement=statistics.probability_of_improvement(*tests)
            if all(map(len, tests))
            else None,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class MethodAccuracy:
    """A method's tuning and final trials.

    Attributes:
        tune, finals: The trials.
        chosen: The tuning trial whose setting the final trials have, as a row of the table; the
            best one if there are no final trials yet. None if no tuning trial finished.
        best: The tuning trial that is best on validation, or None.
        edge: Whether the chosen learning rate is the lowest or the highest that was tried; None if
            nothing was chosen.
        tops: From a split to the center of the final top-1, or None.
        gap: Center of train minus test top-1, or None.
        target: Epochs until the protocol's target.
        against_baseline: The comparison with the baseline; None for the baseline itself.
    """

    tune: pd.DataFrame
    finals: pd.DataFrame
    chosen: dict | None
    best: dict | None
    edge: bool | None
    tops: dict[str, Center | None]
    gap: Center | None
    target: Target
    against_baseline: Comparison | None


def summarize_accuracy(trials: TrialTable) -> dict[str, MethodAccuracy]:
    """Summarizes the accuracy suite by method, in the order of tables."""
    methods = table.methods_of(trials.select(suite="accuracy"))
    return {method: _summarize_method(trials, method) for method in methods}


def best_trial(tune: pd.DataFrame) -> dict | None:
    """Returns the tuning trial that the search would choose, as a row; None if none finished."""
    return search.best_trial(tune[tune["validation"].notna()].to_dict("records"))


def _summarize_method(trials, method):
    tune = trials.select(suite="accuracy", stage="tune", method=method)
    finals, baseline = trials.finals(method), trials.finals(BASELINE)
    best = best_trial(tune)
    chosen = _chosen(tune, finals) or best
    return MethodAccuracy(
        tune=tune,
        finals=finals,
        chosen=chosen,
        best=best,
        edge=_is_edge(tune, chosen, finals),
        tops={split: Center.from_values(table.by_seed(finals, split)) for split in SPLITS},
        gap=Center.from_values(table.gaps_by_seed(finals)),
        target=Target.from_curves(list(finals["curves"]), trials.protocol.get("target_top1")),
        against_baseline=None if method == BASELINE else Comparison.from_trials(finals, baseline),
    )


def _first_epoch(curve, top1):
    pairs = zip(curve["epoch"], curve["validation"], strict=True)
    return next((epoch for epoch, reached in pairs if (reached or 0) >= top1), None)


def _chosen(tune, finals):
    ids = set(finals["chosen_from"])
    found = tune[tune["id"].isin(ids)] if len(ids) == 1 else tune[:0]
    return next(iter(found.to_dict("records")), None)


def _is_edge(tune, chosen, finals):
    recorded = finals["edge"].dropna()
    if len(recorded):
        return bool(recorded.any())
    if chosen is None:
        return None
    rates = tune.loc[tune["status"] != "crashed", "learning_rate"]
    return chosen["learning_rate"] in (rates.min(), rates.max())


@dataclasses.dataclass(frozen=True, eq=False)
class RegularizationCell:
    """The trials of one method with one dropout rate and weight decay.

    Attributes:
        dropout, weight_decay: The setting.
        trials: The trials, one a seed.
        tops: From a split to the mean final top-1, or None.
    """

    dropout: float
    weight_decay: float
    trials: pd.DataFrame
    tops: dict[str, Estimate | None]


@dataclasses.dataclass(frozen=True, eq=False)
class MethodRegularization:
    """One method's grid, beside its final trials of the accuracy suite.

    Attributes:
        cells: The grid, by dropout and weight decay.
        best: The cell with the highest mean validation top-1, or None.
        finals: The method's final trials of the accuracy suite.
        before: Their test top-1 minus the baseline's, paired by seed, or None.
        after: The best cell's test top-1 minus the baseline's, paired by seed, or None.
    """

    cells: tuple[RegularizationCell, ...]
    best: RegularizationCell | None
    finals: pd.DataFrame
    before: Estimate | None
    after: Estimate | None


@dataclasses.dataclass(frozen=True, eq=False)
class Regularization:
    """The regularization suite.

    Attributes:
        baseline: The baseline's final trials of the accuracy suite.
        methods: The grid of each method; empty if the suite has no trials.
    """

    baseline: pd.DataFrame
    methods: dict[str, MethodRegularization]


def summarize_regularization(trials: TrialTable) -> Regularization:
    """Summarizes the regularization suite by method, in the order of tables."""
    baseline = trials.finals(BASELINE)
    found = trials.select(suite="regularization")
    return Regularization(
        baseline,
        {
            method: _summarize_grid(
                found[found["method"] == method], trials.finals(method), baseline
            )
            for method in table.methods_of(found)
        },
    )


def _summarize_grid(trials, finals, baseline):
    cells = tuple(
        _cell(*setting, found) for setting, found in trials.groupby(["dropout", "weight_decay"])
    )
    best = _best_cell(cells)
    test = table.by_seed(baseline, "test")
    after = table.paired_mean(table.by_seed(best.trials, "test"), test) if best else None
    before = table.paired_mean(table.by_seed(finals, "test"), test)
    return MethodRegularization(cells, best, finals, before, after)


def _cell(dropout, weight_decay, trials):
    tops = {split: table.mean(table.by_seed(trials, split)) for split in SPLITS}
    return RegularizationCell(dropout, weight_decay, table.one_per_seed(trials), tops)


def _best_cell(cells):
    # A cell with fewer seeds than another has trials to be run, and cannot be compared yet.
    scored = [cell for cell in cells if cell.tops["validation"]]
    seeds = max((cell.tops["validation"].n for cell in scored), default=0)
    complete = [cell for cell in scored if cell.tops["validation"].n == seeds]
    return max(complete, key=lambda cell: cell.tops["validation"].value, default=None)
