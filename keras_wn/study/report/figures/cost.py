"""Step time."""

from keras_wn.study.analysis.claims.free_of_cost import RATIO
from keras_wn.study.report import looks
from keras_wn.study.report.figures import canvas


def panels(found):
    """Time of a step, and its ratio to that without normalization.

    Args:
        found: Dict from method to `MethodCost`.

    Returns:
        List of `Panel`, empty without rounds.
    """
    timed = {method: result for method, result in found.items() if result.quartiles}
    ratios = {method: result for method, result in timed.items() if result.ratio}
    height = 1.2 + 0.4 * len(timed)
    drawn = []
    if timed:
        alt = f"Median time of a training step with {', '.join(timed)}, and the quartiles over rounds."
        drawn.append(canvas.panel("step_time", alt, lambda figure: _draw_times(figure, timed), height))
    if ratios:
        alt = f"Step time divided by that without normalization, with intervals, of {', '.join(ratios)}."
        drawn.append(canvas.panel("step_ratio", alt, lambda figure: _draw_ratios(figure, ratios), height))
    return drawn


def _draw_times(figure, timed):
    axes = figure.subplots()
    for row, (method, result) in enumerate(timed.items()):
        low, middle, high = (1000 * seconds for seconds in result.quartiles)
        axes.barh(row, middle, height=0.6, color=looks.of(method).color, edgecolor="#000000", lw=0.6)
        # Gray, to be seen on black too.
        axes.plot([low, high], [row, row], color="#999999", lw=2, marker="|", ms=9, mew=2)
    _name_rows(axes, timed)
    axes.set_xlabel("step, milliseconds")


def _draw_ratios(figure, ratios):
    axes = figure.subplots()
    for bound, style in ((1.0, "-"), (RATIO, ":")):
        axes.axvline(bound, color="#777777", lw=1, ls=style)
    for row, (method, result) in enumerate(ratios.items()):
        look, ratio = looks.of(method), result.ratio
        if ratio.n > 1:
            axes.plot([ratio.low, ratio.high], [row, row], color=look.color, lw=2.5)
        axes.plot(ratio.value, row, ls="", marker=look.marker, ms=7, color=look.color, mec="#000000", mew=0.7)
    _name_rows(axes, ratios)
    axes.set_xlabel(f"step time / that of none (dotted: {RATIO})")


def _name_rows(axes, found):
    axes.set_yticks(range(len(found)), list(map(looks.short, found)))
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
