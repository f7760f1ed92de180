"""Statistics of a few runs: means, differences and shares, each with an interval."""

import dataclasses
import math

import numpy as np
import scipy  # Its submodules load when they are first used: `scipy.stats` alone takes a second.


@dataclasses.dataclass(frozen=True)
class Estimate:
    """An estimated number and its confidence interval.

    Attributes:
        value: The number.
        low, high: Ends of the interval; infinite where the values say nothing of their spread.
        n: How many values it comes from.
    """

    value: float
    low: float
    high: float
    n: int


def interquartile_mean(values, axis=-1):
    """Mean of the middle half of the values.

    The `floor(n / 4)` smallest and as many of the largest are left out; of fewer than four, none.

    Args:
        values: Finite numbers, one at least; or an array with one at least along `axis`.
        axis: Integer.

    Returns:
        Float; of an array with more axes, an array of the others' shape.

    Raises:
        ValueError: If there are no values, or one is not finite.

    Example:

    >>> float(interquartile_mean([0.1, 0.7, 0.8, 0.9]))
    0.75

    Reference: Agarwal et al. 2021, arXiv 2108.13264, section 4.3; the same function as in their library rliable.
    """
    return scipy.stats.trim_mean(_finite(values), 0.25, axis=axis)


def stratified_bootstrap(groups, statistic=interquartile_mean, confidence=0.95, resamples=10_000, seed=0):
    """A statistic of several groups of runs together, with a percentile bootstrap interval.

    Each resample draws, with replacement, as many values from each group as it has, and takes the statistic of all that was drawn.
    The interval reaches from the `(1 - confidence) / 2` quantile of these statistics to the `(1 + confidence) / 2` quantile.

    Args:
        groups: List of groups of finite numbers, for example a task's runs each. One group is the plain bootstrap.
        statistic: Function `(array, axis) -> array` that takes that axis away: `interquartile_mean`, `np.mean`, `np.median`.
        confidence: Float in (0, 1).
        resamples: Positive integer.
        seed: Integer.

    Returns:
        `Estimate`, with n over all groups. Infinite ends if a group has a single value, whose spread is not known; ends equal to the
        value if each group's values are all equal.

    Raises:
        ValueError: If there are no groups, a group is empty, or a number is not finite or out of range.

    Example:

    >>> found = stratified_bootstrap([[0.90, 0.92, 0.91], [0.70, 0.76, 0.73]], statistic=np.mean, resamples=1000)
    >>> round(found.value, 3), round(found.low, 2), round(found.high, 2), found.n
    (0.82, 0.81, 0.83, 6)

    Reference: Agarwal et al. 2021, arXiv 2108.13264, section 4.1. Its coverage is below nominal for a few values: see `paired_difference`.
    """
    groups = [_checked(group) for group in groups]
    if not groups:
        raise ValueError("stratified_bootstrap: groups=[] is not allowed. Allowed: one group at least.")

    def of_all(*drawn, axis=-1):
        return statistic(np.concatenate(drawn, axis=axis), axis=axis)

    value = float(of_all(*groups))
    low, high = _percentile_interval(groups, of_all, confidence, resamples, seed, (-math.inf, math.inf))
    return Estimate(value, low, high, sum(map(len, groups)))


def mean_interval(values, confidence=0.95):
    """Mean with Student's t interval: `mean +- t std / sqrt(n)`, t of n - 1 degrees of freedom.

    Args:
        values: Finite numbers, one at least.
        confidence: Float in (0, 1).

    Returns:
        `Estimate`. Of one value, the interval is (-inf, inf); of equal values, its ends are the mean.

    Raises:
        ValueError: If there are no values, one is not finite, or `confidence` is out of range.

    Example:

    >>> found = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (3.0, 1.037, 4.963)

    Reference: Student 1908, Biometrika 6. Exact for values from a normal distribution.
    """
    values = _checked(values)
    _check_confidence(confidence)
    mean, n = float(np.mean(values)), len(values)
    if n == 1:
        return Estimate(mean, -math.inf, math.inf, n)
    half = float(scipy.stats.t.ppf((1 + confidence) / 2, n - 1) * scipy.stats.sem(values))
    return Estimate(mean, mean - half, mean + half, n)


def paired_difference(first, second, confidence=0.95):
    """Mean of `first - second` over pairs, with Student's t interval of the differences.

    Not a percentile bootstrap, which is too narrow for a few pairs: of five normal differences it covers the mean in about 84 % of
    samples at a nominal 95 %, where this interval covers it in 95 % (tests/study/test_statistics.py).

    Args:
        first, second: Finite numbers, of one length; those of one place belong together, for example by their seed.
        confidence: Float in (0, 1).

    Returns:
        `Estimate`, with n the number of pairs; of one pair and of equal differences as `mean_interval`.

    Raises:
        ValueError: If the lengths differ or are 0, a number is not finite, or `confidence` is out of range.

    Example:

    >>> found = paired_difference([0.93, 0.95, 0.94], [0.91, 0.92, 0.93])
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.02, -0.005, 0.045)

    Reference: the paired t test, Student 1908, Biometrika 6.
    """
    first, second = _checked(first), _checked(second)
    if len(first) != len(second):
        raise ValueError(
            f"paired_difference: {len(first)} first and {len(second)} second values. Allowed: as many of one as of the other."
        )
    return mean_interval(first - second, confidence)


def probability_of_improvement(first, second, confidence=0.95, resamples=10_000, seed=0):
    """Probability that a run of the first is better than one of the second: `P(X > Y) + P(X = Y) / 2`.

    The estimate is Mann and Whitney's `U / (n m)`; the interval a percentile bootstrap, stratified by first and second.

    Args:
        first, second: Finite numbers, larger ones better; lengths n and m may differ.
        confidence: Float in (0, 1).
        resamples: Positive integer.
        seed: Integer.

    Returns:
        `Estimate`, with n the number of all values. The interval is (0, 1) if first or second is a single value. Where all of one are
        above all of the other, it is the single point 1 or 0, which is not certainty: too few values to show another order.

    Raises:
        ValueError: If first or second is empty, or a number is not finite or out of range.

    Example:

    >>> probability_of_improvement([3.0, 5.0], [1.0, 3.0], resamples=100).value
    0.875

    Reference: Agarwal et al. 2021, arXiv 2108.13264, section 4.3; Mann & Whitney 1947.
    """
    groups = [_checked(first), _checked(second)]
    interval = _percentile_interval(groups, _superiority, confidence, resamples, seed, (0.0, 1.0))
    return Estimate(float(_superiority(*groups)), *interval, sum(map(len, groups)))


def wilson_interval(successes, trials, confidence=0.95):
    """Share of successes with Wilson's score interval, which stays in [0, 1] and has a width at 0 and at 1 too.

    Args:
        successes: Integer, 0 to `trials`.
        trials: Positive integer.
        confidence: Float in (0, 1).

    Returns:
        `Estimate`, with n the number of trials.

    Raises:
        ValueError: If there are no trials, `successes` is out of range, or `confidence` is.

    Example:

    >>> found = wilson_interval(81, 263)
    >>> round(found.value, 4), round(found.low, 4), round(found.high, 4)
    (0.308, 0.2553, 0.3662)

    Reference: Wilson 1927, JASA 22; the example is Newcombe's 1998, Statistics in Medicine 17, table I.
    """
    _check_confidence(confidence)
    if trials < 1:
        raise ValueError(f"wilson_interval: trials={trials} is not allowed. Allowed: 1 or more.")
    if not 0 <= successes <= trials:
        raise ValueError(f"wilson_interval: successes={successes} is not allowed. Allowed: 0 to trials={trials}.")
    interval = scipy.stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Estimate(successes / trials, float(interval.low), float(interval.high), trials)


def _superiority(first, second, axis=-1):
    # U / (n m). `scipy.stats.mannwhitneyu` would compute a p-value with each resample's.
    del axis  # The last, always: SciPy passes it to what takes many resamples at once.
    return (1 + np.sign(first[..., :, None] - second[..., None, :]).mean(axis=(-2, -1))) / 2


def _percentile_interval(groups, statistic, confidence, resamples, seed, of_single):
    """Ends of the bootstrap interval; `of_single` if a group has one value, which resampling cannot vary."""
    _check_confidence(confidence)
    if resamples < 1:
        raise ValueError(f"resamples={resamples} is not allowed. Allowed: 1 or more.")
    if min(map(len, groups)) == 1:
        return of_single
    found = scipy.stats.bootstrap(
        groups, statistic, n_resamples=resamples, batch=1000, confidence_level=confidence, method="percentile", rng=seed
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _checked(values):
    values = _finite(values)
    if values.ndim != 1:
        raise ValueError(f"Values of shape {values.shape} are not allowed. Allowed: a list of one number or more.")
    return values


def _finite(values):
    values = np.asarray(values, "float64")
    if not values.size:
        raise ValueError(f"Values of shape {values.shape} are not allowed. Allowed: a list of one number or more.")
    others = values[~np.isfinite(values)]
    if others.size:
        raise ValueError(f"A value of {others[0]} is not allowed. Allowed: finite numbers.")
    return values


def _check_confidence(confidence):
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} is not allowed. Allowed: more than 0 and less than 1.")
