"""Suite cost."""

from keras_wn.study.report import numbers
from keras_wn.study.report.document import Figures, Paragraph, Section, Table
from keras_wn.study.report.figures import cost
from keras_wn.study.report.sections.context import unmeasured


def section(context):
    """Table and plots of the cost suite.

    Args:
        context: `Context`.

    Returns:
        `Section`.
    """
    title, found = f"Cost ({context.answers('cost')})", context.results.cost
    if not found:
        return Section("cost", title, (Paragraph(unmeasured("cost")),))
    panels = tuple(cost.panels(found))
    caption = "Time of a training step: median and quartiles over rounds; and its ratio to none: mean over rounds and 95 % interval."
    return Section("cost", title, (_table(context, found), *([Figures(caption, panels)] if panels else [])))


def _table(context, found):
    rows = []
    for method, result in found.items():
        cells = (
            str(len(result.rounds)),
            _quartiles(result.quartiles, 1000, 1),
            _quartiles(result.ratio_quartiles, 1, 3),
            numbers.of_unit(result.ratio, "ratio"),
            numbers.percent(result.share),
        )
        rows.append((method, *(context.groups.link(cell, result.trials) for cell in cells)))
    columns = (
        "Method",
        "Rounds",
        "Step, ms: median (quartiles)",
        "Time / that of none: median (quartiles)",
        "Mean [95 % t interval]",
        "Share in normalization, % [95 % t interval]",
    )
    return Table(
        "Time of a training step, by rounds in which the methods are timed side by side.", columns, tuple(rows)
    )


def _quartiles(values, factor, digits):
    if values is None:
        return numbers.MISSING
    low, middle, high = (numbers.fixed(factor * value, digits) for value in values)
    return f"{middle} ({low} to {high})"
