"""Error by epoch."""

import statistics

from keras_wn.study.analysis import accuracy
from keras_wn.study.report import looks
from keras_wn.study.report.figures import canvas


def panels(found):
    """Error of train and of test by epoch, the median over seeds and the range.

    Args:
        found: Dict from method to `MethodAccuracy`.

    Returns:
        List of `Panel`, empty without curves.
    """
    curves = {m: [t.curves for t in result.finals if t.curves.get("epoch")] for m, result in found.items()}
    curves = {method: listed for method, listed in curves.items() if listed}
    splits = [
        s for s in accuracy.SPLITS if s != "validation" and any(c.get(s) for listed in curves.values() for c in listed)
    ]
    return [
        canvas.panel(
            f"curves_{split}",
            f"Top-1 error on {split} by epoch for {', '.join(curves)}.",
            lambda figure, split=split: _draw(figure, curves, split),
        )
        for split in splits
    ]


def _draw(figure, curves, split):
    axes = figure.subplots()
    for method, listed in curves.items():
        look = looks.of(method)
        by_epoch = {}
        for curve in listed:
            for epoch, top1 in zip(curve["epoch"], curve.get(split) or (), strict=False):
                if top1 is not None:
                    by_epoch.setdefault(epoch, []).append(100 * (1 - top1))
        epochs = sorted(by_epoch)
        axes.fill_between(
            epochs,
            [min(by_epoch[e]) for e in epochs],
            [max(by_epoch[e]) for e in epochs],
            color=look.color,
            alpha=0.15,
            lw=0,
        )
        medians = [statistics.median(by_epoch[e]) for e in epochs]
        axes.plot(epochs, medians, **looks.line(method))
    canvas.errors(axes)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel(f"{split} error, %")
    canvas.legend(figure, map(looks.line, curves))
