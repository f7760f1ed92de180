"""Final accuracy as dots with intervals."""

from keras_wn.study.analysis import estimates
from keras_wn.study.report import looks
from keras_wn.study.report.figures import canvas


def panels(found, classes):
    """Test top-1 and generalization gap of each method: its seeds, their interquartile mean and its interval.

    Args:
        found: Dict from method to `MethodAccuracy`.
        classes: Number of classes.

    Returns:
        List of `Panel`, empty without final trials.
    """
    tests = {m: estimates.tops(r.finals, "test", classes) for m, r in found.items()}
    gaps = {m: estimates.gaps(r.finals, classes) for m, r in found.items()}
    rows = (
        ("test_top1", "test top-1, %", {m: (r.tops["test"], tests[m]) for m, r in found.items()}),
        ("gap", "train minus test top-1, points", {m: (r.gap, gaps[m]) for m, r in found.items()}),
    )
    return [
        canvas.panel(
            name,
            f"{title[0].upper()}{title[1:]}, of {', '.join(found)}: every seed and the interquartile mean with its interval.",
            lambda figure, title=title, shown=shown: _draw(figure, title, shown),
            height=1.2 + 0.4 * len(found),
        )
        for name, title, shown in rows
        if any(center for center, _ in shown.values())
    ]


def _draw(figure, title, shown):
    axes = figure.subplots()
    for row, (method, (center, seeds)) in enumerate(shown.items()):
        if center is None:
            continue
        look, estimate = looks.of(method), center.iqm
        axes.plot(
            [100 * v for v in seeds.values()], [row + 0.22] * len(seeds), ls="", marker="|", ms=7, color=look.color
        )
        if estimate.n > 1:
            axes.plot([100 * estimate.low, 100 * estimate.high], [row, row], color=look.color, lw=2.5)
        axes.plot(100 * estimate.value, row, ls="", marker=look.marker, ms=7, color=look.color, mec="#000000", mew=0.7)
    axes.set_yticks(range(len(shown)), list(map(looks.short, shown)))
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlabel(title)
