"""Makes figures that are the same bytes for the same numbers, each method with its own color."""

import dataclasses
import io
import re
from collections.abc import Callable, Iterable

import matplotlib
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from keras_wn.study.formatting import significant

# Inches. A figure is hardly wider than a phone, so that its text stays legible there.
_WIDTH, _HEIGHT = 4.6, 3.5
_SETTINGS = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e5e8",
    "axes.axisbelow": True,
    # Names come from the log. A dollar sign in them starts no formula.
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "keras_wn",
}
_ERRORS = (0, 1, 2, 5, 10, 20, 50, 100)
_FINE_ERRORS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 70, 80, 100)
_UNWANTED = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
_FILE_NAME = re.compile(r"[a-z][a-z0-9_]*")
_REFERENCE = re.compile(r'(\bid="|url\(#|href="#)')


@dataclasses.dataclass(frozen=True)
class Panel:
    """A figure.

    Attributes:
        name: Name of its file, without suffix.
        alt: A sentence that says what it shows.
        svg: An `<svg>` element.
        png: The PNG file.
    """

    name: str
    alt: str
    svg: str
    png: bytes


@dataclasses.dataclass(frozen=True)
class Style:
    """The color and the marker of a method, which are the same in all figures.

    Attributes:
        color: Its color, from the set of Okabe and Ito, which any color vision tells apart.
        marker: Matplotlib's name of its marker, which tells it apart without color.
    """

    color: str
    marker: str


# The first colors are those of Okabe & Ito 2008, https://jfly.uni-koeln.de/color/. The least used
# method has the yellow one. The others are from the schemes of Tol,
# https://sronpersonalpages.nl/~pault/.
_STYLES = {
    "none": Style("#000000", "p"),
    "bn": Style("#E69F00", "s"),
    "wn": Style("#0072B2", "o"),
    "normprop": Style("#009E73", "D"),
    "wn_trelu": Style("#CC79A7", "^"),
    "wn_robust": Style("#56B4E9", "v"),
    "wn_mobn": Style("#D55E00", "P"),
    "bwn": Style("#F0E442", "*"),
    "cwn": Style("#332288", ">"),
    "ws": Style("#882255", "X"),
    "gn": Style("#999933", "<"),
    "nf": Style("#44AA99", "d"),
    "fixup": Style("#661100", "H"),
    "cwn_trelu": Style("#AA4499", "8"),
    "cwn_trelu_skip": Style("#88CCEE", "1"),
    "rescale": Style("#117733", "2"),
    "nf_fold": Style("#CC6677", "3"),
    "sphere": Style("#DDCC77", "4"),
}
# Colors that are hard to see on white without a darker edge.
_LIGHT = {"#F0E442"}
# Characters that a figure has room for.
_NAME_LENGTH = 14


def style_of(method: str) -> Style:
    """Returns the color and the marker of a method. An unknown method is gray.

    Example:

    >>> style_of("wn").color
    '#0072B2'
    """
    return _STYLES.get(method, Style("#777777", "h"))


def line_of(method: str, **options: object) -> dict:
    """Returns the keyword arguments of a Matplotlib line of a method, updated by `options`."""
    style = style_of(method)
    line = {
        "color": style.color,
        "marker": style.marker,
        "ms": 5,
        "lw": 1.5,
        "label": short(method),
    }
    if style.color in _LIGHT:
        line["path_effects"] = [patheffects.withStroke(linewidth=3, foreground="#555555")]
    return {**line, **options}


def short(name: str) -> str:
    """Shortens a name to fit into a figure.

    Example:

    >>> short("wn"), short("a_method_with_a_long_name")
    ('wn', 'a_method_with…')
    """
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def panel(
    name: str,
    alt: str,
    draw: Callable[[Figure], None],
    height: float = _HEIGHT,
    width: float = _WIDTH,
) -> Panel:
    """Draws a figure, independently of the user's Matplotlib settings.

    Args:
        name: Name of its file, without suffix: lower-case letters, digits and underscores.
        alt: A sentence that says what it shows.
        draw: Function that draws on a Matplotlib figure.
        height, width: Size in inches.
    """
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"Figure name {name!r}. Allowed: {_FILE_NAME.pattern}")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        png = _png(figure)
        # The layout is done. Doing it again for the SVG would take most of the time.
        figure.set_layout_engine("none")
        return Panel(name, alt, _svg(figure), png)


def numbered(svg: str, number: int) -> str:
    """An `<svg>` element whose ids begin with a number, so that a page has each id only once."""
    return _REFERENCE.sub(rf"\g<1>figure{number}-", svg)


def legend(figure: Figure, lines: Iterable[dict]) -> None:
    """Puts a legend below a figure.

    Args:
        figure: The figure.
        lines: Keyword arguments of the lines, for example `line_of("wn")`.
    """
    handles = [Line2D([], [], **line) for line in lines]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, frameon=False, columnspacing=1.2
    )


def make_logarithmic(axis: Axis) -> None:
    """Makes an axis logarithmic, with ticks in plain numbers."""
    set_scale = axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale
    set_scale("log")
    axis.set_major_formatter(FuncFormatter(lambda x, _: significant(x)))
    axis.set_minor_locator(NullLocator())
    low, high = axis.get_view_interval()
    if 0 < low and high / low < 50:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))


def scale_errors(axes: Axes) -> None:
    """Scales the vertical axis for errors in percent, after all of them are drawn.

    The axis is logarithmic from 1 % on, so that good runs are told apart, and includes 0.
    """
    low, high = axes.dataLim.intervaly
    axes.set_yscale("symlog", linthresh=1, linscale=0.5)
    ticks = _ERRORS if high > 8 * max(low, 1) else _FINE_ERRORS
    axes.set_yticks(ticks, map(str, ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    bottom = max((tick for tick in ticks if tick <= low), default=0)
    axes.set_ylim(bottom, max(1.05 * high, bottom + 1))


def _svg(figure):
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = _UNWANTED.sub("", text.getvalue()[text.getvalue().index("<svg") :])
    # The page sets the size.
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1)


def _png(figure):
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=150, metadata={"Software": None})
    return data.getvalue()
