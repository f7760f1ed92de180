"""Draws forest plots: a row for each difference, with its interval, its margin and its numbers."""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MultipleLocator

from keras_wn.study.canvas import Panel, panel, style_of
from keras_wn.study.estimates import Difference, Estimate
from keras_wn.study.formatting import MISSING, points, significant
from keras_wn.study.table import unfinished
from keras_wn.study.verdicts import CONFIDENCE, Piece


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a forest plot.

    Attributes:
        label: Text at its left.
        method: Name, which chooses the color.
        estimate: `Estimate` in the unit of the axis. None draws nothing beside the label.
        text: The numbers at its right.
        is_apart: Whether a space separates it from the row above.
        trials: Identities of the trials that it comes from.
    """

    label: str
    method: str
    estimate: Estimate | None
    text: str
    is_apart: bool = False
    trials: tuple[str, ...] = ()


def draw(
    name: str,
    alt: str,
    rows: Sequence[Row],
    title: str,
    margin: float | None = None,
    reference: float | None = 0.0,
    bound: float | None = None,
    in_octaves: bool = False,
) -> list[Panel]:
    """Draws estimates with their intervals below each other; nothing without rows.

    Args:
        name, alt: As `canvas.panel`'s.
        rows: Sequence of `Row`, from the top.
        title: Label of the axis.
        margin: Half of the width of the band around the reference in which values count as equal.
        reference: Value of the line that stands for no difference. None draws none.
        bound: Value of a dotted line. None draws none.
        in_octaves: Whether the axis is in octaves, and its numbers are powers of 2.
    """
    if not rows:
        return []

    def draw(figure):
        axes = figure.subplots()
        if margin:
            axes.axvspan(reference - margin, reference + margin, color="#e8eef3", lw=0, zorder=0)
        if reference is not None:
            axes.axvline(reference, color="#555555", lw=1)
        if bound is not None:
            axes.axvline(bound, color="#555555", lw=1, ls=":")
        places = np.cumsum([1.0 + 0.5 * row.is_apart for row in rows])
        for place, row in zip(places, rows, strict=True):
            if row.estimate is not None:
                _draw_estimate(axes, place, row.method, row.estimate)
            axes.annotate(
                row.text,
                (1.02, place),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=9,
                annotation_clip=False,
            )
        axes.set_yticks(places, [row.label for row in rows])
        axes.set_ylim(places[-1] + 0.6, places[0] - 0.6)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        if in_octaves:
            write_octaves(axes)
        axes.set_xlabel(title)

    return [panel(name, alt, draw, height=1.0 + 0.3 * len(rows), width=6.4)]


def write_octaves(axes: Axes, unit: str = "") -> None:
    """Writes the powers of 2 along a horizontal axis in octaves, few enough to stand apart."""
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(MultipleLocator(max(1, round((high - low) / 4))))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: factor_of_octaves(x) + unit))


def row_of_trials(
    label: str, method: str, difference: Difference | None, trials: pd.DataFrame, **options: Any
) -> Row:
    """The row of a difference in points, with the number of its trials that did not finish.

    Args:
        label, method: As `Row`'s.
        difference: `Difference`, or None if no trial has a partner that finished, too.
        trials: The trials on whose side the difference is, whatever became of them.
        **options: More of `Row`'s attributes.
    """
    estimate = difference and difference.interval(CONFIDENCE)
    words = [points(estimate)] if estimate else []
    if endings := unfinished(trials):
        words.append(f"({endings})" if words else endings)
    ids = tuple(trials["id"])
    return Row(label, method, estimate, " ".join(words) or MISSING, trials=ids, **options)


def _draw_estimate(axes: Axes, place: float, method: str, estimate: Estimate):
    method_style = style_of(method)
    if math.isfinite(estimate.low) and math.isfinite(estimate.high):
        axes.plot([estimate.low, estimate.high], [place, place], color=method_style.color, lw=2.5)
    style = {
        "marker": method_style.marker,
        "ms": 7,
        "color": method_style.color,
        "mec": "#000000",
        "mew": 0.7,
    }
    axes.plot(estimate.value, place, ls="", **style)


def of_pieces(
    pieces: Iterable[Piece],
    label: Callable[[Piece], str],
    write: Callable[[Piece], str],
    method: Callable[[Piece], str] = lambda piece: re.split("[, ]", piece.comparison.name)[0],
) -> list[Row]:
    """Rows of a forest plot, one for each piece that was measured.

    Args:
        pieces: `Piece`s of a verdict.
        label, write: Functions of a piece: its label, and its number in text.
        method: Function of a piece: its method, which begins the name of most comparisons.
    """
    rows, decided = [], True
    for piece in pieces:
        if piece.estimate is not None:
            apart = decided and not piece.decides and bool(rows)
            is_bound = piece.comparison.is_bound
            estimate = without_interval(piece.estimate) if is_bound else piece.estimate
            rows.append(Row(label(piece), method(piece), estimate, write(piece), apart))
            decided = piece.decides
    return rows


def without_interval(estimate: Estimate) -> Estimate:
    """The same value without an interval, for a number of which only a bound is known."""
    return dataclasses.replace(estimate, low=math.nan, high=math.nan)


def factor_of_octaves(octaves: float) -> str:
    """Two to the power of some octaves, in text."""
    return significant(2.0**octaves)
