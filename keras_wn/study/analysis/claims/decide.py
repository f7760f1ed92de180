"""When a number decides something: the rules that all verdicts share."""

# Fewer pairs than these decide nothing.
MINIMUM = 5
# Accuracies are float32: equal ones may differ by less than this.
_ROUNDING = 1e-6


def above(estimate, bound):
    """Whether a number lies above a bound.

    Args:
        estimate: `Estimate`, or None.
        bound: Float.

    Returns:
        True if its whole interval does, False if its whole interval lies below; None, for not decidable, if the interval includes
        the bound, or n is less than `MINIMUM`.

    Example:

    >>> from keras_wn.study.statistics import Estimate
    >>> above(Estimate(0.3, low=0.1, high=0.5, n=5), 0), above(Estimate(0.3, low=0.1, high=0.5, n=4), 0)
    (True, None)
    """
    if estimate is None or estimate.n < MINIMUM:
        return None
    if estimate.low > bound + _ROUNDING:
        return True
    return False if estimate.high < bound - _ROUNDING else None


def below(estimate, bound):
    """Whether a number lies below a bound, as `above`."""
    flag = above(estimate, bound)
    return None if flag is None else not flag


def all_of(flags):
    """Whether all hold: False if one is False, True if each is True, else None.

    Example:

    >>> all_of([True, None]), all_of([False, None]), all_of([True, True])
    (None, False, True)
    """
    flags = list(flags)
    if False in flags:
        return False
    return None if None in flags or not flags else True
