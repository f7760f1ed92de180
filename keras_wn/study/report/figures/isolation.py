"""What the tuning tried: validation error against one setting at a time."""

from keras_wn.study.report import looks
from keras_wn.study.report.figures import canvas

_SETTINGS = (
    ("learning_rate", "learning rate", True),
    ("weight_decay", "weight decay", True),
    ("warmup_epochs", "warm-up, epochs", False),
)


def panels(found, classes):
    """Every tuning trial against its learning rate, weight decay and warm-up; diverged ones at the top, the chosen ones ringed.

    Args:
        found: Dict from method to `MethodAccuracy`.
        classes: Number of classes.

    Returns:
        List of `Panel`, empty without tuning trials.
    """
    if not any(result.tune for result in found.values()):
        return []
    return [
        canvas.panel(
            f"tuning_{key}",
            f"Validation error of every tuning trial against its {title}.",
            lambda figure, key=key, title=title, is_log=is_log: _draw(figure, found, classes, key, title, is_log),
        )
        for key, title, is_log in _SETTINGS
    ]


def _draw(figure, found, classes, key, title, is_log):
    axes = figure.subplots()
    for method, result in found.items():
        look = looks.of(method)
        finished = [t for t in result.tune if t.status == "finished" and t.top1("validation", classes) is not None]
        errors = [100 * (1 - t.top1("validation", classes)) for t in finished]
        values = [t.spec[key] for t in finished]
        axes.plot(values, errors, **looks.line(method, ls=""))
        _mark_diverged(axes, [t.spec[key] for t in result.tune if t.diverged], look.color)
        if result.chosen is not None and result.chosen.status == "finished":
            error = 100 * (1 - result.chosen.top1("validation", classes))
            axes.plot(result.chosen.spec[key], error, ls="", marker="o", ms=11, mfc="none", mec=look.color, mew=1.5)
    if any(t.diverged for result in found.values() for t in result.tune):
        axes.set_title("diverged: ×", loc="left", pad=14)
    canvas.errors(axes)
    axes.set_xlabel(title)
    axes.set_ylabel("validation error, %")
    if is_log:
        canvas.logarithmic(axes.xaxis)
    canvas.legend(figure, [looks.line(method, ls="") for method in found])


def _mark_diverged(axes, values, color):
    if values:
        # Above the axes' top, whatever their range.
        above = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(values, [1.04] * len(values), ls="", marker="x", ms=5, color=color, **above)
