"""Variance and gradients by depth."""

import math

from keras_wn.study.report import looks, numbers
from keras_wn.study.report.figures import canvas

_QUANTITIES = (("variance", "variance"), ("gradient_norm", "gradient norm"))


def panels(found):
    """Variance and gradient norm of each block's output, at the first and at the last epoch that is measured.

    Args:
        found: Dict from method to `MethodSignal`.

    Returns:
        List of `Panel`, empty without measurements.
    """
    epochs = sorted({profile.epoch for result in found.values() for profile in result.profiles})
    ends = list(dict.fromkeys([*epochs[:1], *epochs[-1:]]))
    return [
        canvas.panel(
            f"signal_{quantity}_{'start' if epoch == ends[0] else 'end'}",
            f"{title.capitalize()} of each block's output {numbers.after(epoch)}, for {', '.join(found)}.",
            lambda figure, quantity=quantity, title=title, epoch=epoch: _draw(figure, found, quantity, title, epoch),
        )
        for quantity, title in _QUANTITIES
        for epoch in ends
    ]


def _draw(figure, found, quantity, title, epoch):
    axes = figure.subplots()
    for method, result in found.items():
        for profile in result.profiles:
            values = getattr(profile, quantity)
            shown = [(i, value) for i, value in enumerate(values, start=1) if math.isfinite(value) and value > 0]
            if profile.epoch == epoch and shown:
                axes.plot(*zip(*shown, strict=True), **looks.line(method))
    axes.set_title(numbers.after(epoch), loc="left")
    axes.set_xlabel("residual block, from the input")
    axes.set_ylabel(title)
    axes.xaxis.get_major_locator().set_params(integer=True)
    canvas.logarithmic(axes.yaxis)
    canvas.legend(figure, map(looks.line, found))
