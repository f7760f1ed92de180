"""Suite regularization."""

from keras_wn.study.analysis.accuracy import SPLITS
from keras_wn.study.report import numbers
from keras_wn.study.report.document import Figures, Paragraph, Section, Table
from keras_wn.study.report.figures import regularization
from keras_wn.study.report.sections.context import endings, unmeasured


def section(context):
    """Tables and plots of the regularization suite.

    Args:
        context: `Context`.

    Returns:
        `Section`.
    """
    title = f"Regularization ({context.answers('regularization')})"
    found, classes = context.results.regularization, context.results.log.classes
    if not found.methods:
        return Section("regularization", title, (Paragraph(unmeasured("regularization")),))
    panels = tuple(regularization.panels(found, classes))
    caption = "Test top-1 over the grid: mean over seeds with its 95 % interval; the band is that of bn as tuned."
    blocks = [_gaps(context, found), *([Figures(caption, panels)] if panels else [])]
    blocks += [_grid(context, result) for result in found.methods.values()]
    return Section("regularization", title, tuple(blocks))


def _gaps(context, found):
    rows = []
    for method, result in found.methods.items():
        best, link = result.best, context.groups.link
        setting = (
            f"dropout {best.dropout:g}, weight decay {numbers.significant(best.weight_decay)}"
            if best
            else numbers.MISSING
        )
        trials = best.trials if best else ()
        cells = (
            link(numbers.points(result.before), result.finals),
            link(setting, trials),
            link(numbers.points(result.after), trials),
        )
        rows.append((method, *cells))
    columns = ("Method", "As tuned", "Best cell on validation", "Best cell")
    return Table(
        "Test top-1 minus bn's, paired by seed: mean difference [95 % t interval], points.", columns, tuple(rows)
    )


def _grid(context, result):
    rows = []
    for cell in result.cells:
        name = f"dropout {cell.dropout:g}, weight decay {numbers.significant(cell.weight_decay)}"
        cells = (endings(cell.counts), *(numbers.percent(cell.tops[split]) for split in SPLITS))
        best = "best on validation" if cell is result.best else numbers.MISSING
        rows.append((name, *(context.groups.link(text, cell.trials) for text in cells), best))
    columns = ("Cell", "Seeds", *(f"{split.capitalize()} top-1, %" for split in SPLITS), "Chosen")
    return Table(f"{result.method}: mean over seeds [95 % t interval].", columns, tuple(rows))
