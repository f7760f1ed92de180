"""Numbers as text."""

import math

MISSING = "–"


def percent(estimate):
    """An `Estimate` of top-1 from 0 to 1, in percent, without the unit.

    Example:

    >>> from keras_wn.study.statistics import Estimate
    >>> percent(Estimate(0.9, 0.85, 0.95, n=5))
    '90.0 [85.0, 95.0]'
    """
    return interval(estimate, lambda x: fixed(100 * x, 1))


def points(estimate):
    """An `Estimate` of a difference in top-1, in points, without the unit."""
    return interval(estimate, lambda x: signed(100 * x, 1))


def factor(estimate):
    """An `Estimate` in decades, as the factor that it is."""
    return interval(estimate, lambda x: f"{significant(10**x)}×")


def of_unit(estimate, unit):
    """An `Estimate` of a piece of evidence, with its unit."""
    if unit == "points":
        return f"{points(estimate)} points"
    if unit == "share":
        return f"{percent(estimate)} %"
    if unit == "ratio":
        return interval(estimate, lambda x: fixed(x, 3))
    return factor(estimate)


def interval(estimate, form):
    """An `Estimate` by a function from float to text: value and interval, if it has one."""
    if estimate is None:
        return MISSING
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return f"{form(estimate.value)} [no interval]"
    return f"{form(estimate.value)} [{form(estimate.low)}, {form(estimate.high)}]"


def top1(value):
    """A top-1 from 0 to 1 in percent, without the unit."""
    return MISSING if value is None else fixed(100 * value, 1)


def fixed(value, digits):
    """A number with so many digits behind the point, and no minus before a zero."""
    text = f"{value:.{digits}f}"
    return _minus(text if float(text) else text.lstrip("-"))


def signed(value, digits):
    """As `fixed`, with a plus before what is larger than zero."""
    text = fixed(value, digits)
    return f"+{text}" if float(f"{value:.{digits}f}") > 0 else text


def significant(value, digits=3):
    """A number with so many digits that count.

    Example:

    >>> significant(0.05), significant(0.000012345), significant(123456.0), significant(None)
    ('0.05', '1.23e-5', '1.23e5', '–')
    """
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return "not finite"
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    return _minus(mantissa) if not exponent else f"{_minus(mantissa)}e{int(exponent)}"


def counted(number, noun):
    """A number and its noun.

    Example:

    >>> counted(1, "seed"), counted(5, "seed")
    ('1 seed', '5 seeds')
    """
    return f"{number} {noun}{'' if str(number) == '1' else 's'}"


def after(epoch):
    """When something was measured.

    Example:

    >>> after(0), after(1), after(12)
    ('at the start', 'after 1 epoch', 'after 12 epochs')
    """
    return f"after {counted(f'{epoch:g}', 'epoch')}" if epoch else "at the start"


def _minus(text):
    return text.replace("-", "−")
