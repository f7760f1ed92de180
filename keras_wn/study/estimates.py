"""Computes differences between methods, and how well they are known.

A difference varies because seeds differ, and because the test images are a sample, too. Looking
twice, or at several methods, gives chance more than one occasion. Each has its correction here.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import scipy  # Loads its submodules at first use. `scipy.stats` alone takes a second.
from numpy.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class Estimate:
    """An estimated number and its confidence interval.

    Attributes:
        value: The number.
        low, high: Ends of the interval. They are infinite if the values do not tell their spread.
        n: The number of values that the estimate comes from.
    """

    value: float
    low: float
    high: float
    n: int


@dataclasses.dataclass(frozen=True)
class Difference:
    """A mean difference, and how well it is known.

    Attributes:
        value: The mean difference.
        error: Its standard error; infinite if there is one pair.
        freedom: Degrees of freedom of the standard error.
        n: Number of pairs.
        fixed: The part of the standard error that more pairs do not make smaller, such as that of
            the test images.

    Example:

    >>> found = Difference(0.5, error=0.2, freedom=9, n=10)
    >>> interval = found.interval(0.95)
    >>> round(interval.low, 3), round(interval.high, 3), round(found.p_value(), 3)
    (0.048, 0.952, 0.034)
    """

    value: float
    error: float
    freedom: float
    n: int
    fixed: float = 0.0

    def interval(self, confidence: float) -> Estimate:
        """Student's t interval.

        Args:
            confidence: A number between 0 and 1.
        """
        if math.isinf(self.error):
            return Estimate(self.value, -math.inf, math.inf, self.n)
        half = float(scipy.stats.t.isf((1 - confidence) / 2, self.freedom)) * self.error
        return Estimate(self.value, self.value - half, self.value + half, self.n)

    def p_value(self, other: float = 0.0) -> float:
        """Probability of a mean at least as far from `other`, on either side, by chance alone."""
        return min(1.0, 2 * min(self.p_above(other), self.p_below(other)))

    def p_above(self, bound: float) -> float:
        """Probability of a mean as large as this or larger if the truth is `bound`."""
        return self._tail(self.value - bound)

    def p_below(self, bound: float) -> float:
        """Probability of a mean as small as this or smaller if the truth is `bound`."""
        return self._tail(bound - self.value)

    def p_within(self, margin: float) -> float:
        """Probability of a mean as near to 0 as this if the truth is at least `margin` from it.

        Reference: two one-sided tests, Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics
        15.
        """
        return max(self.p_above(-margin), self.p_below(margin))

    def _tail(self, distance):
        if math.isinf(self.error):
            return 1.0
        if self.error == 0:
            return 0.0 if distance > 0 else 1.0
        return float(scipy.stats.t.sf(distance / self.error, self.freedom))


def paired(first: ArrayLike, second: ArrayLike) -> Difference:
    """The mean of `first - second` over pairs, such as seeds.

    Args:
        first, second: Finite numbers, as many of one as of the other.

    Raises:
        ValueError: If there is no pair, or if the shapes differ.

    Example:

    >>> found = paired([0.93, 0.95, 0.94], [0.91, 0.92, 0.93])
    >>> round(found.value, 3), round(found.error, 4), found.freedom
    (0.02, 0.0058, 2)

    Reference: the paired t test, Student 1908, Biometrika 6.
    """
    first, second = (np.asarray(values, "float64") for values in (first, second))
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(
            f"paired: {first.shape} and {second.shape} values. Allowed: lists of one number or "
            "more, as many of one as of the other."
        )
    differences, n = first - second, len(first)
    error = float(differences.std(ddof=1) / math.sqrt(n)) if n > 1 else math.inf
    return Difference(float(differences.mean()), error, n - 1, n)


def of_mean(values: ArrayLike) -> Difference:
    """The mean of some values, as their difference to 0.

    Args:
        values: Finite numbers.

    Raises:
        ValueError: If there are none.

    Example:

    >>> found = of_mean([1.0, 2.0, 3.0, 4.0, 5.0]).interval(0.95)
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (3.0, 1.037, 4.963)
    """
    values = np.asarray(values, "float64")
    return paired(values, np.zeros_like(values))


def share_of(part: ArrayLike, whole: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The mean of `part` divided by the mean of `whole`, with Fieller's interval.

    The interval holds each ratio r for which the mean of `part - r whole` does not differ from 0.

    Args:
        part, whole: Finite numbers, paired, such as the closed part of a gap and the gap.
        confidence: A number between 0 and 1.

    Returns:
        `Estimate`. Its ends are infinite if the mean of `whole` does not differ from 0 at this
        confidence, because the ratio may then be anything.

    Raises:
        ValueError: If there are fewer than two pairs, or if the shapes differ.

    Example:

    >>> found = share_of([0.4, 0.6, 0.5], [1.0, 1.2, 0.9])
    >>> round(found.value, 3), round(found.low, 2), round(found.high, 2)
    (0.484, 0.3, 0.69)

    Reference: Fieller 1954, J. Royal Statistical Society B 16.
    """
    part, whole = (np.asarray(values, "float64") for values in (part, whole))
    if part.shape != whole.shape or part.ndim != 1 or len(part) < 2:
        raise ValueError(
            f"share_of: {part.shape} and {whole.shape} values. Allowed: lists of two numbers or "
            "more, as many of one as of the other."
        )
    n = len(part)
    a, b = part.mean(), whole.mean()
    covariances = np.cov(part, whole) / n
    quantile = scipy.stats.t.isf((1 - confidence) / 2, n - 1) ** 2
    # The ends solve (a - r b)^2 = t^2 var(a - r b), a quadratic equation in r.
    second = b**2 - quantile * covariances[1, 1]
    first = a * b - quantile * covariances[0, 1]
    constant = a**2 - quantile * covariances[0, 0]
    value = float(a / b) if b else math.nan
    if second <= 0:
        return Estimate(value, -math.inf, math.inf, n)
    root = math.sqrt(max(first**2 - second * constant, 0.0))
    return Estimate(value, float((first - root) / second), float((first + root) / second), n)


def pairs_needed(found: Difference, distance: float, level: float = 0.05) -> float | None:
    """The pairs with which a difference as it was found would be decided in four of five studies.

    Args:
        found: `Difference`, which was not decided.
        distance: How far the value lies from the nearest bound.
        level: Two-sided level of the decision.

    Returns:
        An integer above the number of pairs so far; infinity if no number of pairs is enough; or
        None if the spread is unknown.

    Example:

    >>> pairs_needed(Difference(0.5, error=0.4, freedom=9, n=10), distance=0.5)
    51
    >>> pairs_needed(Difference(0.5, error=0.4, freedom=9, n=10, fixed=0.3), distance=0.5)
    inf
    """
    if math.isinf(found.error):
        return None
    normal = scipy.stats.norm
    quantiles = normal.isf(level / 2) + normal.isf(0.2)
    allowed = (distance / quantiles) ** 2 - found.fixed**2
    if allowed <= 0:
        return math.inf
    of_one_pair = found.n * (found.error**2 - found.fixed**2)
    return max(math.ceil(of_one_pair / allowed), found.n + 1)


def crossed(first: ArrayLike, second: ArrayLike) -> Difference:
    """The mean of `first - second` over seeds and test images, both of which are samples.

    With mean squares `S` between seeds, `I` between images and `R` of what is left, the variance
    of the mean of `n m` numbers is `(S + I - R) / (n m)`. Its degrees of freedom are
    Satterthwaite's.

    Args:
        first, second: Arrays of shape `(seeds, images)`, such as whether an image was classified
            correctly. The seeds are paired, and the images are the same for all.

    Returns:
        `Difference`, where n is the number of seeds.

    Raises:
        ValueError: If the shapes differ, or if there are fewer than two images.

    Example:

    >>> import numpy as np
    >>> correct = np.random.default_rng(0).random((2, 10, 1000)) < [[[0.9]], [[0.8]]]
    >>> found = crossed(*correct)
    >>> 0.05 < found.interval(0.95).low < 0.1 < found.interval(0.95).high < 0.15
    True

    Reference: the analysis of variance with two crossed random factors, Scheffe 1959, section 7.4;
    Satterthwaite 1946, Biometrics Bulletin 2.
    """
    first, second = (np.asarray(values, "float64") for values in (first, second))
    if first.shape != second.shape or first.ndim != 2 or not len(first) or first.shape[1] < 2:
        raise ValueError(
            f"crossed: {first.shape} and {second.shape} values. Allowed: two arrays of one shape, "
            "(seeds, images), with two images or more."
        )
    differences = first - second
    n, m = differences.shape
    mean = differences.mean()
    if n == 1:
        return Difference(float(mean), math.inf, 0, 1)
    seeds, images = differences.mean(axis=1) - mean, differences.mean(axis=0) - mean
    left = differences - mean - seeds[:, None] - images
    squares = np.array([m * np.sum(seeds**2), n * np.sum(images**2), np.sum(left**2)])
    freedoms = np.array([n - 1, m - 1, (n - 1) * (m - 1)])
    between_seeds, between_images, rest = squares / freedoms
    # By chance the estimate can fall below the seeds' part; the true value cannot.
    total = max(between_seeds + between_images - rest, between_seeds)
    if total == 0:
        return Difference(float(mean), 0.0, n - 1, n)
    freedom = total**2 / np.sum((squares / freedoms) ** 2 / freedoms)
    of_images = math.sqrt((total - between_seeds) / (n * m))
    error = math.sqrt(total / (n * m))
    return Difference(float(mean), error, max(float(freedom), n - 1), n, of_images)


@functools.cache
def levels_of_looks(level: float, counts: tuple[int, ...]) -> tuple[float, ...]:
    """The level of each look such that all looks together are wrong as often as `level` says.

    The level that each side has spent up to a share t of the data is `2 - 2 Phi(z / sqrt(t))`,
    with z the normal quantile of `1 - level / 4`. Little is spent on early looks, so that a
    decision there needs a large difference.

    Args:
        level: Level of all looks together, two-sided, between 0 and 1.
        counts: Increasing positive integers, the number of pairs at each look.

    Returns:
        Two-sided levels, one a look.

    Raises:
        ValueError: If a value is not allowed.

    Example:

    >>> [round(level, 4) for level in levels_of_looks(0.05, (10, 20))]
    [0.0031, 0.049]

    Reference: Lan & DeMets 1983, Biometrika 70, with the spending function that resembles O'Brien
    & Fleming 1979, Biometrics 35.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level} is not allowed. Allowed: more than 0 and less than 1.")
    if not counts or counts[0] < 1 or any(a >= b for a, b in itertools.pairwise(counts)):
        raise ValueError(f"counts={counts} is not allowed. Allowed: increasing positive integers.")
    normal = scipy.stats.norm
    shares = np.array(counts) / counts[-1]
    spent = 4 * normal.sf(normal.isf(level / 4) / np.sqrt(shares))
    # Statistics of looks at shares s < t correlate by sqrt(s / t).
    correlations = np.sqrt(np.minimum.outer(shares, shares) / np.maximum.outer(shares, shares))
    bounds: list[float] = []
    for look in range(1, len(counts) + 1):
        inside = scipy.stats.multivariate_normal(cov=correlations[:look, :look], seed=0)

        def excess(bound, inside=inside, target=spent[look - 1]):
            ends = np.array([*bounds, bound])
            return 1 - inside.cdf(ends, lower_limit=-ends) - target

        bounds.append(float(scipy.optimize.brentq(excess, 0.1, 10.0, xtol=1e-6)))
    return tuple(float(2 * normal.sf(bound)) for bound in bounds)


def holm(
    looks: Sequence[Mapping[str, float]], counts: tuple[int, ...], level: float = 0.05
) -> dict[str, int | None]:
    """The hypotheses that are rejected, by Holm's procedure over them and over planned looks.

    At each look, the smallest p-value is compared with the level of the look for `level / m`, with
    m the number of hypotheses that stand; if it is rejected, the next with that for
    `level / (m - 1)`, and so on. What one look rejected stays rejected.

    Args:
        looks: For each look so far, the p-value of every hypothesis by name.
        counts: The number of pairs at each planned look.
        level: The probability of rejecting any hypothesis that is true.

    Returns:
        From each name to the look that rejected it, counted from 0, or None.

    Raises:
        ValueError: If there are more looks than planned, or if they differ in their names.

    Example:

    >>> holm([{"wn": 0.02, "gn": 1e-4}, {"wn": 0.02, "gn": 1e-4}], counts=(10, 20))
    {'wn': 1, 'gn': 0}

    Reference: Holm 1979, Scand. J. Statistics 6; over looks, Ye, Li, Liu & Yao 2013, Statistics in
    Medicine 32.
    """
    if len(looks) > len(counts) or len({frozenset(p_values) for p_values in looks}) > 1:
        raise ValueError(
            f"{len(looks)} looks with {[sorted(p_values) for p_values in looks]} are not allowed. "
            f"Allowed: up to {len(counts)}, with the same names."
        )
    rejected: dict[str, int | None] = dict.fromkeys(looks[0]) if looks else {}
    for look, p_values in enumerate(looks):
        standing = sorted((p, name) for name, p in p_values.items() if rejected[name] is None)
        for place, (p_value, name) in enumerate(standing):
            if p_value > levels_of_looks(level / (len(standing) - place), counts)[look]:
                break
            rejected[name] = look
    return rejected
