"""The axis of learning rates: what trains, and how well."""

import itertools
import statistics

from keras_wn.study.analysis.stability import unstable
from keras_wn.study.report import looks
from keras_wn.study.report.figures import canvas

# Share of a grid step that the marks of one learning rate take.
_SPREAD = 0.6


def panels(found, classes):
    """Every trial of the sweeps by its learning rate, a panel a network; unstable ones are marked.

    Args:
        found: `Stability`.
        classes: Number of classes.

    Returns:
        List of `Panel`.
    """
    return [
        canvas.panel(
            f"learning_rates_{number}",
            f"Trials on {model} by learning rate: which are stable, and the validation error that they reach.",
            lambda figure, model=model: _draw(figure, found, model, classes),
            height=4.6 + 0.12 * len(found.methods),
        )
        for number, model in enumerate(found.models, start=1)
    ]


def _draw(figure, found, model, classes):
    sweeps = [found.sweeps[model, method] for method in found.methods if (model, method) in found.sweeps]
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[0.35 * len(sweeps), 2.6])
    rates = [cell.learning_rate for cell in sweeps[0].cells]
    step = min((b / a for a, b in itertools.pairwise(rates)), default=2.0)
    for row, sweep in enumerate(sweeps):
        for cell in sweep.cells:
            _mark(above, row, sweep.method, cell, step**_SPREAD, classes)
        _plot_errors(below, sweep, classes)
    above.set_yticks(range(len(sweeps)), [looks.short(sweep.method) for sweep in sweeps])
    above.set_ylim(len(sweeps) - 0.5, -0.5)
    above.set_title(f"{model[:40]}\neach seed: · stable, ○ did not learn, × diverged", loc="left")
    above.grid(visible=False)
    below.axhline(100 * (1 - 1 / classes), color="#777777", lw=1, ls=":")
    canvas.errors(below)
    below.set_xlabel("learning rate")
    below.set_ylabel("validation error, %")
    canvas.logarithmic(below.xaxis)
    below.set_xticks(rates)
    canvas.legend(figure, [looks.line(sweep.method) for sweep in sweeps])


def _mark(axes, row, method, cell, width, classes):
    ran = [trial for trial in cell.trials if not trial.crashed]
    color = looks.of(method).color
    for i, trial in enumerate(ran):
        place = (i - (len(ran) - 1) / 2) / max(len(ran) - 1, 4)
        marker, size = ("x", 5) if trial.diverged else ("o", 4) if unstable(trial, classes) else (".", 4)
        style = {"marker": marker, "ms": size, "color": color, "mfc": "none" if marker == "o" else color}
        axes.plot(cell.learning_rate * width**place, row, ls="", **style)


def _plot_errors(axes, sweep, classes):
    errors = {cell.learning_rate: [_error(t, classes) for t in cell.trials if not t.crashed] for cell in sweep.cells}
    shown = {rate: values for rate, values in errors.items() if values}
    axes.plot(list(shown), [statistics.median(values) for values in shown.values()], **looks.line(sweep.method))
    for rate, values in shown.items():
        style = {"marker": "_", "ms": 6, "color": looks.of(sweep.method).color, "alpha": 0.6}
        axes.plot([rate] * len(values), values, ls="", **style)


def _error(trial, classes):
    top1 = None if unstable(trial, classes) else trial.top1("validation", classes)
    return 100 * (1 - (1 / classes if top1 is None else top1))
