"""Test accuracy over the grid of dropout and weight decay."""

from keras_wn.study.analysis import estimates, methods
from keras_wn.study.report import looks, numbers
from keras_wn.study.report.figures import canvas

_LINES = ("-", "--", ":", "-.")
_MARKERS = "os^Dv"


def panels(found, classes):
    """Test top-1 by weight decay, a line a dropout, a panel a method, with the baseline's mean and interval.

    Args:
        found: `Regularization`.
        classes: Number of classes.

    Returns:
        List of `Panel`.
    """
    baseline = estimates.mean(estimates.tops(found.baseline, "test", classes).values())
    return [
        canvas.panel(
            f"regularization_{number}",
            f"Test top-1 of {method} by weight decay and dropout, and of {methods.BASELINE}.",
            lambda figure, result=result: _draw(figure, result, baseline),
        )
        for number, (method, result) in enumerate(found.methods.items(), start=1)
        if any(cell.tops["test"] for cell in result.cells)
    ]


def _draw(figure, result, baseline):
    axes = figure.subplots()
    decays = sorted({cell.weight_decay for cell in result.cells})
    dropouts = sorted({cell.dropout for cell in result.cells})
    lines = []
    if baseline:
        lines.append({"color": looks.of(methods.BASELINE).color, "lw": 2, "label": f"{methods.BASELINE}, as tuned"})
        axes.axhline(100 * baseline.value, **lines[0])
        if baseline.n > 1:
            axes.axhspan(100 * baseline.low, 100 * baseline.high, color=lines[0]["color"], alpha=0.15, lw=0)
    for i, dropout in enumerate(dropouts):
        cells = [cell for cell in result.cells if cell.dropout == dropout and cell.tops["test"]]
        places = [decays.index(cell.weight_decay) + 0.12 * (i - (len(dropouts) - 1) / 2) for cell in cells]
        style = looks.line(result.method, marker=_MARKERS[i % len(_MARKERS)], ls=_LINES[i % len(_LINES)])
        lines.append({**style, "mfc": "white" if i % 2 else style["color"], "label": f"dropout {dropout:g}"})
        axes.plot(places, [100 * cell.tops["test"].value for cell in cells], zorder=3, **lines[-1])
        for place, top in zip(places, (cell.tops["test"] for cell in cells), strict=True):
            if top.n > 1:
                axes.plot([place, place], [100 * top.low, 100 * top.high], color=style["color"], lw=1.2, marker="_")
    axes.set_title(looks.short(result.method), loc="left")
    axes.set_xticks(range(len(decays)), [numbers.significant(decay) for decay in decays])
    axes.set_xlim(-0.5, len(decays) - 0.5)
    axes.set_xlabel("weight decay")
    axes.set_ylabel("test top-1, %")
    canvas.legend(figure, lines)
