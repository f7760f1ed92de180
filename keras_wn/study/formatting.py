"""Writes numbers as the report's text."""

import math
from collections.abc import Callable, Sequence

from keras_wn.study.estimates import Estimate

MISSING = "–"


def percent(estimate: Estimate | None) -> str:
    """Writes a top-1 from 0 to 1 in percent, without the unit.

    Example:

    >>> percent(Estimate(0.9, 0.85, 0.95, n=5))
    '90.0 [85.0, 95.0]'
    """
    return interval(estimate, lambda x: fixed(100 * x, 1))


def points(estimate: Estimate | None) -> str:
    """Writes a difference in points, without the unit."""
    return interval(estimate, lambda x: signed(x, 1))


def factor(estimate: Estimate | None) -> str:
    """Writes a number of octaves as the factor that it stands for."""
    return interval(estimate, lambda x: f"{significant(2.0**x)}×")


def factor_bound(estimate: Estimate) -> str:
    """Writes a number of octaves of which only a bound is known as a bound of the factor.

    Example:

    >>> factor_bound(Estimate(3.0, 2.0, 4.0, n=5)), factor_bound(Estimate(-1.0, -2.0, 0.0, n=5))
    ('at least 8×', 'at most 0.5×')
    """
    return f"at {'least' if estimate.value > 0 else 'most'} {significant(2.0**estimate.value)}×"


def with_unit(estimate: Estimate | None, unit: str, is_bound: bool = False) -> str:
    """Writes the number of a piece of evidence, with its unit.

    Args:
        estimate: `Estimate`, or None.
        unit: `points`, `share`, `ratio` or `octaves`.
        is_bound: Whether the trials only bound the number, so that it has no interval.
    """
    if is_bound and estimate is not None and unit == "octaves":
        return factor_bound(estimate)
    if unit == "points":
        return f"{points(estimate)} points"
    if unit == "share":
        return f"{percent(estimate)} %"
    if unit == "ratio":
        return interval(estimate, lambda x: fixed(x, 3))
    return factor(estimate)


def interval(estimate: Estimate | None, write: Callable[[float], str]) -> str:
    """Writes a value, and its interval if it has one."""
    if estimate is None:
        return MISSING
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return f"{write(estimate.value)} [no interval]"
    return f"{write(estimate.value)} [{write(estimate.low)}, {write(estimate.high)}]"


def top1(value: float | None) -> str:
    """Writes a top-1 from 0 to 1 in percent, without the unit."""
    return MISSING if _is_missing(value) else fixed(100 * value, 1)


def fixed(value: float, digits: int) -> str:
    """Writes a number with a fixed number of decimals. Zero has no minus sign."""
    text = f"{value:.{digits}f}"
    return _minus(text if float(text) else text.lstrip("-"))


def signed(value: float, digits: int) -> str:
    """Writes a number as `fixed` does, with a plus sign if it is positive."""
    text = fixed(value, digits)
    return f"+{text}" if float(f"{value:.{digits}f}") > 0 else text


def significant(value: float | None, digits: int = 3) -> str:
    """Writes a number with at most `digits` significant digits; NaN and None are missing.

    Example:

    >>> significant(0.05), significant(0.000012345), significant(123456.0), significant(None)
    ('0.05', '1.23e-5', '1.23e5', '–')
    """
    if _is_missing(value):
        return MISSING
    if math.isinf(value):
        return "not finite"
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    return f"{_minus(mantissa)}e{int(exponent)}" if exponent else _minus(mantissa)


def counted(number: int | str, noun: str) -> str:
    """Writes a number and its noun.

    Example:

    >>> counted(1, "seed"), counted(5, "seed")
    ('1 seed', '5 seeds')
    """
    return f"{number} {noun}{'' if str(number) == '1' else 's'}"


def listed(words: Sequence[str]) -> str:
    """Joins words as a list in a sentence.

    Example:

    >>> listed(["wn"]), listed(["bn", "wn", "ws"])
    ('wn', 'bn, wn and ws')
    """
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def after(epoch: float) -> str:
    """Writes the time of a measurement.

    Example:

    >>> after(0), after(1), after(12)
    ('at the start', 'after 1 epoch', 'after 12 epochs')
    """
    return f"after {counted(f'{epoch:g}', 'epoch')}" if epoch else "at the start"


def _is_missing(value):
    return value is None or math.isnan(value)


def _minus(text):
    return text.replace("-", "−")
