"""How each method looks in plots: its color and marker, the same in all of them."""

import dataclasses

from matplotlib import patheffects


@dataclasses.dataclass(frozen=True)
class Look:
    """A method's look.

    Attributes:
        title: The method in a few words.
        color: Of Okabe and Ito's set, which is told apart with any color vision.
        marker: Matplotlib's name of its marker, so that color is not needed.
    """

    title: str
    color: str
    marker: str


# Okabe & Ito 2008, https://jfly.uni-koeln.de/color/; the yellow one goes to the method that is rarest.
_LOOKS = {
    "none": Look("no normalization", "#000000", "p"),
    "bn": Look("batch normalization", "#E69F00", "s"),
    "wn": Look("weight normalization", "#0072B2", "o"),
    "normprop": Look("normalization propagation", "#009E73", "D"),
    "wn_trelu": Look("weight normalization + translated ReLU", "#CC79A7", "^"),
    "wn_robust": Look("weight normalization, start for residual nets", "#56B4E9", "v"),
    "wn_mobn": Look("weight normalization + mean-only batch normalization", "#D55E00", "P"),
    "bwn": Look("bounded weight normalization", "#F0E442", "*"),
}
_LIGHT = {"#F0E442"}  # Hard to see on white, without a darker edge.
_LENGTH = 14
_OTHER = Look("", "#777777", "h")


def line(method, **more):
    """Keyword arguments of Matplotlib's lines, for a method.

    Args:
        method: Name.
        **more: Others, which replace these.
    """
    look = of(method)
    found = {"color": look.color, "marker": look.marker, "ms": 5, "lw": 1.5, "label": short(method)}
    if look.color in _LIGHT:
        found["path_effects"] = [patheffects.withStroke(linewidth=3, foreground="#555555")]
    return {**found, **more}


def short(name):
    """A name for plots, which have room for no more.

    Example:

    >>> short("wn"), short("a_method_with_a_long_name")
    ('wn', 'a_method_with…')
    """
    return name if len(name) <= _LENGTH else f"{name[: _LENGTH - 1]}…"


def of(method):
    """The look of a method; of one that is not known here, gray, with its name as title.

    Example:

    >>> of("wn").color
    '#0072B2'
    """
    return _LOOKS.get(method) or dataclasses.replace(_OTHER, title=method)
