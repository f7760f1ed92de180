"""Largest stable learning rate by depth."""

import statistics

from keras_wn.study.report import looks
from keras_wn.study.report.figures import canvas


def panels(found):
    """Largest stable learning rate by network: geometric mean and range over seeds.

    Args:
        found: `Stability`.

    Returns:
        List of one `Panel`; empty if there are fewer than two networks.
    """
    if len(found.models) < 2:
        return []
    alt = f"Largest stable learning rate on {', '.join(found.models)} for {', '.join(found.methods)}."
    return [canvas.panel("depth", alt, lambda figure: _draw(figure, found))]


def _draw(figure, found):
    axes = figure.subplots()
    for i, method in enumerate(found.methods):
        shift = 0.5 * (i / max(1, len(found.methods) - 1) - 0.5)
        for place, model in enumerate(found.models):
            sweep = found.sweeps.get((model, method))
            if sweep and sweep.limits:
                _plot(axes, place + shift, method, sweep.limits.values())
    canvas.logarithmic(axes.yaxis)
    axes.margins(x=0.08, y=0.08)
    axes.set_xticks(range(len(found.models)), map(looks.short, found.models))
    axes.set_ylabel("largest stable learning rate")
    canvas.legend(figure, [looks.line(method, ls="") for method in found.methods])


def _plot(axes, x, method, limits):
    decades = [limit.decades for limit in limits]
    style = looks.line(method, ms=6)
    if any(limit.censored for limit in limits):
        style["mfc"] = "white"
    axes.plot([x, x], [10 ** min(decades), 10 ** max(decades)], **{**style, "marker": "_"})
    axes.plot(x, 10 ** statistics.mean(decades), **style)
