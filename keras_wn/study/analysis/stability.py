"""Suite stability: which learning rates train, by method and depth."""

import dataclasses
import re

from keras_wn.study import statistics
from keras_wn.study.analysis import estimates, methods
from keras_wn.study.analysis.counts import Counts
from keras_wn.study.analysis.limit import Limit


@dataclasses.dataclass(frozen=True)
class Cell:
    """The trials of one method, network and learning rate.

    Attributes:
        learning_rate: Float.
        trials: Tuple of `Trial`, one a seed.
        diverged: Number of seeds whose loss was not finite.
        not_learned: Number of seeds that finished with a validation top-1 below `trial.learned_from`.
        unstable: `Estimate` of the share of seeds that did either, with Wilson's interval; None if all crashed.
    """

    learning_rate: float
    trials: tuple
    diverged: int
    not_learned: int
    unstable: statistics.Estimate | None

    @property
    def counts(self):
        """`Counts` of its trials."""
        return Counts.of(self.trials)


@dataclasses.dataclass(frozen=True)
class MethodStability:
    """One method's sweep on one network.

    Attributes:
        method, model: Names.
        cells: Tuple of `Cell`, by learning rate.
        limits: Dict from seed to `Limit`; a seed with a learning rate that crashed or is still to be run has none.
        decades: `Estimate` of the mean of the limits' decades, or None.
        sensitivity: `Estimate` of the sensitivity to the learning rate, in top-1 from 0 to 1, or None: the mean over the grid
            of how far validation top-1 is below its best of the grid, by seed; an unstable trial counts as guessing. Of the seeds
            that have a stable learning rate.
    """

    method: str
    model: str
    cells: tuple
    limits: dict
    decades: statistics.Estimate | None
    sensitivity: statistics.Estimate | None

    @property
    def trials(self):
        """All of its trials."""
        return tuple(trial for cell in self.cells for trial in cell.trials)


@dataclasses.dataclass(frozen=True)
class Stability:
    """What the stability suite says.

    Attributes:
        models: Tuple of the networks' names, from shallow to deep.
        methods: Tuple of the methods' names.
        sweeps: Dict from (model, method) to `MethodStability`.
    """

    models: tuple
    methods: tuple
    sweeps: dict


def measure(log):
    """What the stability suite says.

    Args:
        log: `TrialLog`.

    Returns:
        `Stability`; without sweeps if the suite has no trials.
    """
    trials = log.select(suite="stability")
    models = tuple(sorted({trial.model for trial in trials}, key=depth))
    grid = _grid(log, trials)
    names = methods.of_trials(trials)
    by_pair = {
        (model, method): log.select(suite="stability", model=model, method=method)
        for model in models
        for method in names
    }
    sweeps = {pair: _sweep(*pair, found, grid, log.classes) for pair, found in by_pair.items() if found}
    return Stability(models, names, sweeps)


def depth(model):
    """Key that sorts networks by the last number in their name, which is their depth.

    Example:

    >>> sorted(["cifar_resnet20", "cifar_resnet8"], key=depth)
    ['cifar_resnet8', 'cifar_resnet20']
    """
    numbers = re.findall(r"\d+", model)
    return (int(numbers[-1]) if numbers else 0, model)


def unstable(trial, classes):
    """Whether a trial diverged, or did not learn."""
    return not trial.crashed and not trial.learned(classes)


def _grid(log, trials):
    planned = (log.protocol.get("stability") or {}).get("learning_rates") or ()
    return sorted({*planned, *(trial.spec["learning_rate"] for trial in trials)})


def _sweep(model, method, trials, grid, classes):
    seeds = {}
    for trial in trials:
        if not trial.crashed:
            seeds.setdefault(trial.seed, {})[trial.spec["learning_rate"]] = trial
    whole = {seed: [by_rate[rate] for rate in grid] for seed, by_rate in seeds.items() if len(by_rate) == len(grid)}
    limits = {seed: Limit.of(seed, grid, [not unstable(t, classes) for t in swept]) for seed, swept in whole.items()}
    return MethodStability(
        method=method,
        model=model,
        cells=tuple(_cell(rate, [t for t in trials if t.spec["learning_rate"] == rate], classes) for rate in grid),
        limits=limits,
        decades=estimates.mean(limit.decades for limit in limits.values()),
        # Where nothing trains, no learning rate is better than another.
        sensitivity=estimates.mean(
            _sensitivity(swept, classes)
            for swept in whole.values()
            if not all(unstable(trial, classes) for trial in swept)
        ),
    )


def _cell(rate, trials, classes):
    ran = [trial for trial in trials if not trial.crashed]
    diverged = sum(trial.diverged for trial in ran)
    failed = sum(unstable(trial, classes) for trial in ran)
    share = statistics.wilson_interval(failed, len(ran)) if ran else None
    return Cell(rate, tuple(trials), diverged, failed - diverged, share)


def _sensitivity(swept, classes):
    reached = [1 / classes if unstable(t, classes) else t.top1("validation", classes) for t in swept]
    return sum(max(reached) - top1 for top1 in reached) / len(reached)
