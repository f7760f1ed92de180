"""Suite regularization: does dropout or weight decay bring a method to the baseline's test accuracy?"""

import dataclasses

from keras_wn.study.analysis import accuracy, estimates, methods
from keras_wn.study.analysis.counts import Counts
from keras_wn.study.statistics import Estimate


@dataclasses.dataclass(frozen=True)
class Cell:
    """The trials of one method, dropout and weight decay.

    Attributes:
        dropout, weight_decay: Floats.
        trials: Tuple of `Trial`, one a seed.
        tops: Dict from split to `Estimate` of the mean final top-1, or None.
    """

    dropout: float
    weight_decay: float
    trials: tuple
    tops: dict

    @property
    def counts(self):
        """`Counts` of its trials."""
        return Counts.of(self.trials)


@dataclasses.dataclass(frozen=True)
class MethodRegularization:
    """One method's grid, beside its final trials in the accuracy suite.

    Attributes:
        method: Name.
        cells: Tuple of `Cell`, by dropout and weight decay.
        best: The cell with the highest mean validation top-1, or None.
        finals: Tuple of the method's final trials in the accuracy suite.
        before: `Estimate` of test top-1 of these minus the baseline's, paired by seed, or None.
        after: The same of the best cell minus the baseline.
    """

    method: str
    cells: tuple
    best: Cell | None
    finals: tuple
    before: Estimate | None
    after: Estimate | None


@dataclasses.dataclass(frozen=True)
class Regularization:
    """What the regularization suite says.

    Attributes:
        baseline: Tuple of the baseline's final trials in the accuracy suite.
        methods: Dict from method to `MethodRegularization`.
    """

    baseline: tuple
    methods: dict


def measure(log):
    """What the regularization suite says.

    Args:
        log: `TrialLog`.

    Returns:
        `Regularization`; without methods if the suite has no trials.
    """
    baseline = accuracy.finals(log, methods.BASELINE)
    names = methods.of_trials(log.select(suite="regularization"))
    return Regularization(baseline, {method: _of_method(log, method, baseline) for method in names})


def _of_method(log, method, baseline):
    trials = log.select(suite="regularization", method=method)
    keys = sorted({(trial.spec["dropout"], trial.spec["weight_decay"]) for trial in trials})
    cells = tuple(_cell(log, method, *key) for key in keys)
    best = _best(cells)
    finals = accuracy.finals(log, method)
    test, before, after = (
        estimates.tops(found, "test", log.classes) for found in (baseline, finals, best.trials if best else ())
    )
    return MethodRegularization(
        method, cells, best, finals, before=estimates.paired(before, test), after=estimates.paired(after, test)
    )


def _cell(log, method, dropout, decay):
    trials = log.select(suite="regularization", method=method, dropout=dropout, weight_decay=decay)
    trials = tuple({trial.seed: trial for trial in trials}.values())
    tops = {split: estimates.mean(estimates.tops(trials, split, log.classes).values()) for split in accuracy.SPLITS}
    return Cell(dropout, decay, trials, tops)


def _best(cells):
    # A cell of fewer seeds than another is still to be run: its mean is not yet to be compared.
    seeds = max((cell.tops["validation"].n for cell in cells if cell.tops["validation"]), default=0)
    whole = [cell for cell in cells if cell.tops["validation"] and cell.tops["validation"].n == seeds]
    return max(whole, key=lambda cell: cell.tops["validation"].value, default=None)
