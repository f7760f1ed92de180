"""Draws the report's figures from the summaries of the suites."""

import itertools
import math
import statistics

import pandas as pd

from keras_wn.study import canvas, table
from keras_wn.study.accuracy import MethodAccuracy, MethodRegularization, Regularization
from keras_wn.study.canvas import Panel, line_of, look_of, panel, short
from keras_wn.study.claims import SLOWDOWN
from keras_wn.study.cost import MethodCost
from keras_wn.study.formatting import after, significant
from keras_wn.study.stability import MethodSignal, Stability, Sweep, SweepCell
from keras_wn.study.table import BASELINE

_TUNED = (
    ("learning_rate", "learning rate", True),
    ("weight_decay", "weight decay", True),
    ("warmup_epochs", "warm-up, epochs", False),
)
_DROPOUT_LINES = ("-", "--", ":", "-.")
_DROPOUT_MARKERS = "os^Dv"
# Share of a step of the grid that the marks of one learning rate take.
_MARKS_WIDTH = 0.6


def tuning(methods: dict[str, MethodAccuracy]) -> list[Panel]:
    """Draws the validation error of every tuning trial against each setting.

    Diverged trials are at the top, and the chosen ones are ringed.
    """
    if not any(len(found.tune) for found in methods.values()):
        return []
    return [
        panel(
            f"tuning_{key}",
            f"Validation error of every tuning trial against its {title}.",
            lambda figure, setting=(key, title, is_log): _draw_tuning(figure, methods, *setting),
        )
        for key, title, is_log in _TUNED
    ]


def _draw_tuning(figure, methods, key, title, is_log):
    axes = figure.subplots()
    for method, found in methods.items():
        color, tune = look_of(method).color, found.tune
        finished = tune[(tune["status"] == "finished") & tune["validation"].notna()]
        axes.plot(finished[key], 100 * (1 - finished["validation"]), **line_of(method, ls=""))
        diverged = tune.loc[tune["status"] == "diverged", key]
        if len(diverged):
            # In axes coordinates, so that the marks are above the top whatever the range is.
            above = {"transform": axes.get_xaxis_transform(), "clip_on": False}
            axes.plot(
                diverged, [1.04] * len(diverged), ls="", marker="x", ms=5, color=color, **above
            )
        if found.chosen is not None and found.chosen["status"] == "finished":
            error = 100 * (1 - found.chosen["validation"])
            ring = {"marker": "o", "ms": 11, "mfc": "none", "mec": color, "mew": 1.5}
            axes.plot(found.chosen[key], error, ls="", **ring)
    if any((found.tune["status"] == "diverged").any() for found in methods.values()):
        axes.set_title("diverged: ×", loc="left", pad=14)
    canvas.scale_errors(axes)
    axes.set_xlabel(title)
    axes.set_ylabel("validation error, %")
    if is_log:
        canvas.make_logarithmic(axes.xaxis)
    canvas.legend(figure, [line_of(method, ls="") for method in methods])


def final_accuracy(methods: dict[str, MethodAccuracy]) -> list[Panel]:
    """Draws each method's seeds, and their interquartile mean with its interval.

    One figure is of test top-1, another of train minus test top-1.
    """
    tests = {
        method: (found.tops["test"], table.by_seed(found.finals, "test"))
        for method, found in methods.items()
    }
    gaps = {
        method: (found.gap, table.gaps_by_seed(found.finals)) for method, found in methods.items()
    }
    shown = (
        ("test_top1", "test top-1, %", tests),
        ("gap", "train minus test top-1, points", gaps),
    )
    return [
        panel(
            name,
            f"{title[0].upper()}{title[1:]}, of {', '.join(methods)}: every seed and the "
            "interquartile mean with its interval.",
            lambda figure, title=title, rows=rows: _draw_centers(figure, title, rows),
            height=_height(methods),
        )
        for name, title, rows in shown
        if any(center for center, _ in rows.values())
    ]


def _draw_centers(figure, title, rows):
    axes = figure.subplots()
    for row, (method, (center, seeds)) in enumerate(rows.items()):
        if center is None:
            continue
        style = {"ls": "", "marker": "|", "ms": 7, "color": look_of(method).color}
        axes.plot(100 * seeds, [row + 0.22] * len(seeds), **style)
        _draw_estimate(axes, row, method, center.iqm, scale=100)
    _name_rows(axes, rows)
    axes.set_xlabel(title)


def curves(methods: dict[str, MethodAccuracy]) -> list[Panel]:
    """Draws train and test error by epoch: the median over seeds, and their range as a band."""
    measured = {
        method: [c for c in found.finals["curves"] if c.get("epoch")]
        for method, found in methods.items()
    }
    measured = {method: found for method, found in measured.items() if found}
    return [
        panel(
            f"curves_{split}",
            f"Top-1 error on {split} by epoch for {', '.join(measured)}.",
            lambda figure, split=split: _draw_curves(figure, measured, split),
        )
        for split in ("train", "test")
        if any(c.get(split) for found in measured.values() for c in found)
    ]


def _draw_curves(figure, measured, split):
    axes = figure.subplots()
    for method, found in measured.items():
        points = pd.DataFrame(
            [
                (epoch, top1)
                for curve in found
                for epoch, top1 in zip(curve["epoch"], curve.get(split) or (), strict=False)
            ],
            columns=["epoch", "top1"],
            dtype=float,
        ).dropna()
        by_epoch = (100 * (1 - points["top1"])).groupby(points["epoch"])
        low, middle, high = by_epoch.min(), by_epoch.median(), by_epoch.max()
        axes.fill_between(low.index, low, high, color=look_of(method).color, alpha=0.15, lw=0)
        axes.plot(middle.index, middle, **line_of(method))
    canvas.scale_errors(axes)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel(f"{split} error, %")
    canvas.legend(figure, map(line_of, measured))


def regularization(found: Regularization) -> list[Panel]:
    """Draws each method's test top-1 over the grid, and the baseline's mean and interval."""
    baseline = table.mean(table.by_seed(found.baseline, "test"))
    return [
        panel(
            f"regularization_{number}",
            f"Test top-1 of {method} by weight decay and dropout, and of {BASELINE}.",
            lambda figure, method=method, grid=grid: _draw_grid(figure, method, grid, baseline),
        )
        for number, (method, grid) in enumerate(found.methods.items(), start=1)
        if any(cell.tops["test"] for cell in grid.cells)
    ]


def _draw_grid(figure, method, grid: MethodRegularization, baseline):
    axes = figure.subplots()
    decays = sorted({cell.weight_decay for cell in grid.cells})
    dropouts = sorted({cell.dropout for cell in grid.cells})
    lines = []
    if baseline:
        color = look_of(BASELINE).color
        lines.append({"color": color, "lw": 2, "label": f"{BASELINE}, as tuned"})
        axes.axhline(100 * baseline.value, **lines[0])
        if baseline.n > 1:
            axes.axhspan(100 * baseline.low, 100 * baseline.high, color=color, alpha=0.15, lw=0)
    for i, dropout in enumerate(dropouts):
        marker = _DROPOUT_MARKERS[i % len(_DROPOUT_MARKERS)]
        style = line_of(method, marker=marker, ls=_DROPOUT_LINES[i % len(_DROPOUT_LINES)])
        color = style["color"]
        lines.append({**style, "mfc": "white" if i % 2 else color, "label": f"dropout {dropout:g}"})
        # The lines stand a little apart, so that their intervals do not cover each other.
        shift = 0.12 * (i - (len(dropouts) - 1) / 2)
        tops = {
            decays.index(cell.weight_decay) + shift: cell.tops["test"]
            for cell in grid.cells
            if cell.dropout == dropout and cell.tops["test"]
        }
        axes.plot(list(tops), [100 * top.value for top in tops.values()], zorder=3, **lines[-1])
        for x, top in tops.items():
            if top.n > 1:
                axes.plot([x, x], [100 * top.low, 100 * top.high], color=color, lw=1.2, marker="_")
    axes.set_title(short(method), loc="left")
    axes.set_xticks(range(len(decays)), [significant(decay) for decay in decays])
    axes.set_xlim(-0.5, len(decays) - 0.5)
    axes.set_xlabel("weight decay")
    axes.set_ylabel("test top-1, %")
    canvas.legend(figure, lines)


def learning_rates(found: Stability, classes: int) -> list[Panel]:
    """Draws every trial of the sweeps by its learning rate, a figure a network."""
    return [
        panel(
            f"learning_rates_{number}",
            f"Trials on {model} by learning rate: which are stable, and the validation error that "
            "they reach.",
            lambda figure, model=model: _draw_sweeps(figure, found, model, classes),
            height=4.6 + 0.12 * len(found.methods),
        )
        for number, model in enumerate(found.models, start=1)
    ]


def _draw_sweeps(figure, found, model, classes):
    sweeps = [found.sweeps[model, m] for m in found.methods if (model, m) in found.sweeps]
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[0.35 * len(sweeps), 2.6])
    rates = [cell.learning_rate for cell in sweeps[0].cells]
    step = min((b / a for a, b in itertools.pairwise(rates)), default=2.0)
    for row, sweep in enumerate(sweeps):
        for cell in sweep.cells:
            _mark_trials(above, row, sweep.method, cell, step**_MARKS_WIDTH)
        _plot_errors(below, sweep, classes)
    above.set_yticks(range(len(sweeps)), [short(sweep.method) for sweep in sweeps])
    above.set_ylim(len(sweeps) - 0.5, -0.5)
    signs = "each seed: · stable, ○ did not learn, × diverged"
    above.set_title(f"{model[:40]}\n{signs}", loc="left")
    above.grid(visible=False)
    below.axhline(100 * (1 - 1 / classes), color="#777777", lw=1, ls=":")
    canvas.scale_errors(below)
    below.set_xlabel("learning rate")
    below.set_ylabel("validation error, %")
    canvas.make_logarithmic(below.xaxis)
    below.set_xticks(rates)
    canvas.legend(figure, [line_of(sweep.method) for sweep in sweeps])


def _mark_trials(axes, row, method, cell: SweepCell, width):
    ran, color = cell.trials[cell.trials["status"] != "crashed"], look_of(method).color
    for i, trial in enumerate(ran.itertuples()):
        place = (i - (len(ran) - 1) / 2) / max(len(ran) - 1, 4)
        if trial.status == "diverged":
            style = {"marker": "x", "ms": 5, "mfc": color}
        elif trial.unstable:
            style = {"marker": "o", "ms": 4, "mfc": "none"}
        else:
            style = {"marker": ".", "ms": 4, "mfc": color}
        axes.plot(cell.learning_rate * width**place, row, ls="", color=color, **style)


def _plot_errors(axes, sweep: Sweep, classes):
    ran = sweep.trials[sweep.trials["status"] != "crashed"]
    errors = 100 * (1 - ran["validation"].mask(ran["unstable"], 1 / classes))
    medians = errors.groupby(ran["learning_rate"]).median()
    axes.plot(medians.index, medians, **line_of(sweep.method))
    for rate in medians.index:
        values = errors[ran["learning_rate"] == rate]
        style = {"marker": "_", "ms": 6, "color": look_of(sweep.method).color, "alpha": 0.6}
        axes.plot([rate] * len(values), values, ls="", **style)


def depth(found: Stability) -> list[Panel]:
    """Draws the largest stable learning rate by network, if there are several networks.

    A mark is the geometric mean over seeds, with their range.
    """
    if len(found.models) < 2:
        return []
    alt = (
        f"Largest stable learning rate on {', '.join(found.models)} for {', '.join(found.methods)}."
    )
    return [panel("depth", alt, lambda figure: _draw_depth(figure, found))]


def _draw_depth(figure, found):
    axes = figure.subplots()
    for i, method in enumerate(found.methods):
        shift = 0.5 * (i / max(1, len(found.methods) - 1) - 0.5)
        for place, model in enumerate(found.models):
            sweep = found.sweeps.get((model, method))
            if sweep and sweep.limits:
                _plot_limits(axes, place + shift, sweep)
    canvas.make_logarithmic(axes.yaxis)
    axes.margins(x=0.08, y=0.08)
    axes.set_xticks(range(len(found.models)), map(short, found.models))
    axes.set_ylabel("largest stable learning rate")
    canvas.legend(figure, [line_of(method, ls="") for method in found.methods])


def _plot_limits(axes, x, sweep: Sweep):
    decades = [limit.decades for limit in sweep.limits.values()]
    style = line_of(sweep.method, ms=6)
    if any(limit.censored for limit in sweep.limits.values()):
        style["mfc"] = "white"
    axes.plot([x, x], [10 ** min(decades), 10 ** max(decades)], **{**style, "marker": "_"})
    axes.plot(x, 10 ** statistics.mean(decades), **style)


def signal(methods: dict[str, MethodSignal]) -> list[Panel]:
    """Draws each block's variance and gradient norm, at the first and the last measured epoch."""
    epochs = sorted({profile.epoch for found in methods.values() for profile in found.profiles})
    ends = list(dict.fromkeys([*epochs[:1], *epochs[-1:]]))
    return [
        panel(
            f"signal_{quantity}_{'start' if epoch == ends[0] else 'end'}",
            f"{title.capitalize()} of each block's output {after(epoch)}, for "
            f"{', '.join(methods)}.",
            lambda figure, shown=(quantity, title, epoch): _draw_signal(figure, methods, *shown),
        )
        for quantity, title in (("variance", "variance"), ("gradient_norm", "gradient norm"))
        for epoch in ends
    ]


def _draw_signal(figure, methods, quantity, title, epoch):
    axes = figure.subplots()
    for method, found in methods.items():
        for profile in found.profiles:
            values = enumerate(getattr(profile, quantity), start=1)
            shown = [(i, value) for i, value in values if math.isfinite(value) and value > 0]
            if profile.epoch == epoch and shown:
                axes.plot(*zip(*shown, strict=True), **line_of(method))
    axes.set_title(after(epoch), loc="left")
    axes.set_xlabel("residual block, from the input")
    axes.set_ylabel(title)
    axes.xaxis.get_major_locator().set_params(integer=True)
    canvas.make_logarithmic(axes.yaxis)
    canvas.legend(figure, map(line_of, methods))


def cost(methods: dict[str, MethodCost]) -> list[Panel]:
    """Draws the time of a step, and its ratio to that without normalization."""
    timed = {method: found for method, found in methods.items() if found.quartiles}
    ratios = {method: found for method, found in timed.items() if found.ratio}
    panels = []
    if timed:
        alt = f"Median time of a training step with {', '.join(timed)}, and the quartiles over "
        alt += "rounds."
        panels.append(panel("step_time", alt, lambda f: _draw_times(f, timed), _height(timed)))
    if ratios:
        alt = "Step time divided by that without normalization, with intervals, of "
        alt += f"{', '.join(ratios)}."
        panels.append(panel("step_ratio", alt, lambda f: _draw_ratios(f, ratios), _height(timed)))
    return panels


def _draw_times(figure, timed):
    axes = figure.subplots()
    for row, (method, found) in enumerate(timed.items()):
        low, middle, high = (1000 * seconds for seconds in found.quartiles)
        color = look_of(method).color
        axes.barh(row, middle, height=0.6, color=color, edgecolor="#000000", lw=0.6)
        # Gray is visible on black bars, too.
        axes.plot([low, high], [row, row], color="#999999", lw=2, marker="|", ms=9, mew=2)
    _name_rows(axes, timed)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("step, milliseconds")


def _draw_ratios(figure, ratios):
    axes = figure.subplots()
    for bound, style in ((1.0, "-"), (SLOWDOWN, ":")):
        axes.axvline(bound, color="#777777", lw=1, ls=style)
    for row, (method, found) in enumerate(ratios.items()):
        _draw_estimate(axes, row, method, found.ratio)
    _name_rows(axes, ratios)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"step time / that of none (dotted: {SLOWDOWN})")


def _draw_estimate(axes, row, method, estimate, scale=1):
    look = look_of(method)
    if estimate.n > 1:
        ends = [scale * estimate.low, scale * estimate.high]
        axes.plot(ends, [row, row], color=look.color, lw=2.5)
    style = {"marker": look.marker, "ms": 7, "color": look.color, "mec": "#000000", "mew": 0.7}
    axes.plot(scale * estimate.value, row, ls="", **style)


def _name_rows(axes, rows):
    axes.set_yticks(range(len(rows)), list(map(short, rows)))
    axes.set_ylim(len(rows) - 0.4, -0.6)


def _height(rows):
    return 1.2 + 0.4 * len(rows)
