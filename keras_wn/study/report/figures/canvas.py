"""Plots that are the same bytes for the same numbers, as SVG for a page and as PNG."""

import io
import re

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from keras_wn.study.report import numbers
from keras_wn.study.report.document import Panel

# Inches. A plot is hardly wider than a phone, so that its text stays legible there.
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
    # Names come from the log: a dollar in them is a dollar.
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "keras_wn",
}
_ERRORS = (0, 1, 2, 5, 10, 20, 50, 100)
_FINE_ERRORS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 70, 80, 100)
_UNWANTED = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
_REFERENCE = re.compile(r'(\bid="|url\(#|href="#)')


def panel(name, alt, draw, height=_HEIGHT):
    """A plot.

    Args:
        name: Name of its file, without suffix; it makes the identities in its SVG differ from other plots'.
        alt: What it shows, in a sentence.
        draw: Function that draws on a `matplotlib.figure.Figure`.
        height: Float, inches.

    Returns:
        `Panel`.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure)
        png = _png(figure)
        figure.set_layout_engine("none")  # It stands: to lay it out is most of the time.
        return Panel(name, alt, _svg(figure, name), png)


def legend(figure, lines):
    """Puts a legend below the plot.

    Args:
        figure: `matplotlib.figure.Figure`.
        lines: Dicts, each the keyword arguments of a line with its label, for example `looks.line("wn")`.
    """
    handles = [Line2D([], [], **line) for line in lines]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, columnspacing=1.2)


def logarithmic(axis):
    """Makes an axis logarithmic, with ticks in plain numbers.

    Args:
        axis: `matplotlib.axis.Axis`.
    """
    set_scale = axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale
    set_scale("log")
    axis.set_major_formatter(FuncFormatter(lambda x, _: numbers.significant(x)))
    axis.set_minor_locator(NullLocator())
    low, high = axis.get_view_interval()
    if 0 < low and high / low < 50:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))


def errors(axes):
    """Makes the vertical axis one of errors in percent: logarithmic from 1 on, so that good runs are told apart, with a zero.

    Args:
        axes: `matplotlib.axes.Axes` on which all errors are drawn.
    """
    low, high = axes.dataLim.intervaly
    axes.set_yscale("symlog", linthresh=1, linscale=0.5)
    ticks = _ERRORS if high > 8 * max(low, 1) else _FINE_ERRORS
    axes.set_yticks(ticks, map(str, ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    bottom = max((tick for tick in ticks if tick <= low), default=0)
    axes.set_ylim(bottom, max(1.05 * high, bottom + 1))


def _svg(figure, name):
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = _UNWANTED.sub("", text.getvalue()[text.getvalue().index("<svg") :])
    # One page holds them all: the size is the page's, and no identity may be there twice.
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1)
    return _REFERENCE.sub(rf"\g<1>{name}-", svg)


def _png(figure):
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=150, metadata={"Software": None})
    return data.getvalue()
