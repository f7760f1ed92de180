"""Suite accuracy."""

from keras_wn.study.analysis import methods
from keras_wn.study.analysis.accuracy import SPLITS
from keras_wn.study.report import numbers
from keras_wn.study.report.document import Figures, Link, Paragraph, Section, Table
from keras_wn.study.report.figures import curves, intervals, isolation
from keras_wn.study.report.sections.context import endings, unmeasured


def section(context):
    """Tables and plots of the accuracy suite.

    Args:
        context: `Context`.

    Returns:
        `Section`.
    """
    title = f"Accuracy ({context.answers('accuracy')})"
    found, classes = context.results.accuracy, context.results.log.classes
    if not found:
        return Section("accuracy", title, (Paragraph(unmeasured("accuracy")),))
    blocks = [
        *_of_finals(context, found),
        _tuning(context, found),
        *_wrongly_chosen(context, found),
        *_figures(
            "Tuning: every trial against one setting at a time; the chosen one is ringed, diverged ones are at the top.",
            isolation.panels(found, classes),
        ),
    ]
    return Section("accuracy", title, tuple(blocks))


def _of_finals(context, found):
    if not any(result.finals for result in found.values()):
        return [Paragraph("There are no final trials yet.")]
    classes = context.results.log.classes
    return [
        _finals(context, found, "interquartile mean over seeds [95 % bootstrap interval]", "iqm"),
        *_figures(
            "Final trials: seeds as ticks, their interquartile mean with its 95 % interval.",
            intervals.panels(found, classes),
        ),
        *_against(context, found),
        _finals(context, found, "mean over seeds [95 % t interval]", "mean"),
        *_figures("Error by epoch: median over seeds, and their range as a band.", curves.panels(found)),
    ]


def _figures(caption, panels):
    return [Figures(caption, tuple(panels))] if panels else []


def _finals(context, found, what, way):
    target = context.protocol.get("target_top1")
    columns = ["Method", "Seeds", *(f"{split.capitalize()} top-1, %" for split in SPLITS), "Train − test, points"]
    columns += [f"Epochs to {numbers.top1(target)} % on validation"] if way == "iqm" and target is not None else []
    rows = []
    for method, result in found.items():
        centers = [result.tops[split] for split in SPLITS]
        cells = [numbers.percent(center and getattr(center, way)) for center in centers]
        cells.append(numbers.points(result.gap and getattr(result.gap, way)))
        cells = [endings(result.counts), *cells, *([_epochs(result.target)] if len(columns) == 7 else [])]
        rows.append((method, *(context.groups.link(cell, result.finals) for cell in cells)))
    return Table(f"Final trials: {what}.", tuple(columns), tuple(rows))


def _epochs(target):
    if not target.epochs:
        return numbers.MISSING
    median = "not reached" if target.median is None else f"{target.median:g}"
    return f"{median} ({target.reached} of {len(target.epochs)} seeds)"


def _against(context, found):
    rows = []
    for method, result in found.items():
        against = result.against_baseline
        if against is None or against.test is None:
            continue
        cells = (
            *(numbers.points(getattr(against, name)) for name in ("test", "train", "gap")),
            numbers.percent(against.improvement),
            str(against.test.n),
        )
        rows.append((method, *(context.groups.link(cell, result.finals) for cell in cells)))
    if not rows:
        return
    caption = "Final trials minus bn's, paired by seed: mean difference [95 % t interval], points."
    columns = ("Method", "Test", "Train", "Train − test", "Tests better than bn, % of pairs of runs", "Pairs")
    yield Table(caption, columns, tuple(rows))
    baseline = context.groups.links([trial.id for trial in found[methods.BASELINE].finals])
    yield Paragraph(("The other half of each pair: final trials of ", *baseline, "."))


def _tuning(context, found):
    rows = []
    for method, result in found.items():
        chosen = result.chosen
        trials = context.groups.link(endings(result.tune_counts), result.tune)
        if chosen is None:
            rows.append((method, trials, *[numbers.MISSING] * 5))
            continue
        settings = [
            numbers.significant(chosen.spec[key], 4) for key in ("learning_rate", "weight_decay", "warmup_epochs")
        ]
        top1 = numbers.top1(chosen.top1("validation", context.results.log.classes))
        edge = "yes: may be better beyond" if result.edge else "no"
        anchor = context.groups.row(chosen)
        rows.append((method, trials, *(Link(text, anchor, is_number=True) for text in (*settings, top1)), edge))
    columns = (
        "Method",
        "Tuning trials",
        "Learning rate",
        "Weight decay",
        "Warm-up, epochs",
        "Validation top-1, %",
        "At the edge",
    )
    return Table("Tuning: the setting that was chosen on validation.", columns, tuple(rows))


def _wrongly_chosen(context, found):
    for method, result in found.items():
        if result.best is not None and result.finals and result.best is not result.chosen:
            best = Link(result.best.id, context.groups.row(result.best))
            yield Paragraph(
                (
                    f"{method}: the final trials do not have the setting of the tuning trial that is best by now, ",
                    best,
                    ".",
                )
            )
