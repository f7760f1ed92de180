"""Statistics over the seeds of trials: `None` where there is nothing to take them of."""

import dataclasses

from keras_wn.study import statistics


@dataclasses.dataclass(frozen=True)
class Center:
    """The middle of several runs, in two ways.

    Attributes:
        iqm: `Estimate` of the interquartile mean, with a bootstrap interval.
        mean: `Estimate` of the mean, with Student's t interval.
    """

    iqm: statistics.Estimate
    mean: statistics.Estimate


def by_seed(trials, value):
    """Dict from the seed of each trial to `value(trial)`, without those that have none."""
    found = {trial.seed: value(trial) for trial in trials}
    return {seed: number for seed, number in found.items() if number is not None}


def tops(trials, split, classes):
    """Dict from the seed of each trial to its final top-1 of a split."""
    return by_seed(trials, lambda trial: trial.top1(split, classes))


def gaps(trials, classes):
    """Dict from the seed of each trial to its train minus its test top-1."""
    train, test = (tops(trials, split, classes) for split in ("train", "test"))
    return {seed: train[seed] - test[seed] for seed in train if seed in test}


def center(values):
    """`Center` of numbers, or None of none."""
    values = list(values)
    return Center(statistics.stratified_bootstrap([values]), statistics.mean_interval(values)) if values else None


def mean(values):
    """`Estimate` of the mean of numbers, or None of none."""
    values = list(values)
    return statistics.mean_interval(values) if values else None


def paired(first, second):
    """`Estimate` of the mean of `first - second` over the keys that both have.

    Args:
        first, second: Dicts from what pairs the numbers, for example the seed, to a number.

    Returns:
        `Estimate`, or None without a pair.

    Example:

    >>> paired({0: 3.0, 1: 5.0, 2: 9.0}, {1: 4.0, 0: 2.0}).value
    1.0
    """
    keys = [key for key in first if key in second]
    return statistics.paired_difference([first[k] for k in keys], [second[k] for k in keys]) if keys else None


def improvement(first, second):
    """`Estimate` of the probability that a number of the first is larger than one of the second, or None."""
    first, second = list(first), list(second)
    return statistics.probability_of_improvement(first, second) if first and second else None
