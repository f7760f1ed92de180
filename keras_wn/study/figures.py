"""Draws the report's figures from the table of trials and from the pieces of verdicts."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from keras_wn.study import canvas, forest, table
from keras_wn.study.canvas import Panel, line_of, look_of, panel, short
from keras_wn.study.formatting import after
from keras_wn.study.plan import BASELINE
from keras_wn.study.questions import plain_limits
from keras_wn.study.table import TrialTable
from keras_wn.study.verdicts import Piece

_TUNED = (
    ("learning_rate", "learning rate", True),
    ("weight_decay", "weight decay", True),
    ("warmup_epochs", "warm-up, epochs", False),
)
# Kernels of zeros have no direction. Logs of the first versions of this protocol count their
# rates, which are immense, and no rate of a network that trains comes near this one.
_LARGEST_RATE = 1e30


def limits_by_depth(trials: TrialTable) -> list[Panel]:
    """Draws the largest stable learning rates by network, set and effective ones."""
    limits = plain_limits(trials)
    if not len(limits):
        return []
    effective = limits.assign(octaves=limits.apply(lambda row: _effective(trials, row), axis=1))
    shown = (
        ("limits_by_depth", "largest stable learning rate", limits),
        ("effective_limits", "the same, divided by ‖v‖²", effective.dropna(subset=["octaves"])),
    )
    return [
        panel(
            name,
            f"{title[0].upper()}{title[1:]}, by depth and method: geometric mean and interval.",
            lambda figure, title=title, found=found: _draw_limits(figure, found, title),
            height=4.2,
        )
        for name, title, found in shown
        if len(found)
    ]


def _effective(trials, row):
    """log2 of the limit divided by the mean square of ||v|| at the start, NaN if unknown."""
    for trial in row["trials"]:
        rates, rate = trials.done[trial].get("effective_rate"), None
        if rates and rates["start"] and rates["start"] < _LARGEST_RATE:
            rate = trials.done[trial]["spec"]["learning_rate"]
            return row["octaves"] + math.log2(rates["start"] / rate)
    return math.nan


def _draw_limits(figure, limits, title):
    axes = figure.subplots()
    models = sorted(set(limits["model"]), key=table.depth)
    methods = table.methods_of(limits)
    for i, method in enumerate(methods):
        shift = 0.6 * (i / max(1, len(methods) - 1) - 0.5)
        style = line_of(method)
        places, values = [], []
        for place, model in enumerate(models):
            found = limits[(limits["model"] == model) & (limits["method"] == method)]
            if not len(found):
                continue
            estimate = forest.mean_of_limits(found)
            places.append(place + shift)
            values.append(2**estimate.value)
            if math.isfinite(estimate.low):
                ends = [2**estimate.low, 2**estimate.high]
                axes.plot([place + shift] * 2, ends, color=style["color"], lw=1.2)
        axes.plot(places, values, **{**style, "ls": ":"})
    canvas.make_logarithmic(axes.yaxis)
    axes.set_xticks(range(len(models)), map(short, models))
    axes.set_ylabel(title)
    canvas.legend(figure, [line_of(method) for method in methods])


def limits_by_condition(trials: TrialTable) -> list[Panel]:
    """Draws the limits of other starts, warm-ups and batch sizes beside the plain ones."""
    limits = trials.limits
    plain = set(plain_limits(trials).index)
    models = [m for m in set(limits["model"]) if set(limits.index[limits["model"] == m]) - plain]
    found = []
    for number, model in enumerate(sorted(models, key=table.depth), start=1):
        on_model = limits[limits["model"] == model]
        rows = []
        for method in table.methods_of(on_model):
            own = on_model[on_model["method"] == method]
            keys = ["batch_size", "options", "warmup_epochs"]
            for i, (key, group) in enumerate(own.groupby(keys, sort=True)):
                label = f"{method}{condition_in_words(*key)}"
                rows.append(forest.limit_row(label, method, group, i == 0))
        alt = f"Largest stable learning rates on {model}, by start, warm-up and batch size."
        title = f"largest stable learning rate, {model} (line: that of {BASELINE})"
        is_plain = on_model.index.isin(plain) & (on_model["method"] == BASELINE)
        baseline = on_model[is_plain]["octaves"]
        reference = float(baseline.mean()) if len(baseline) else None
        found += forest.draw(
            f"limits_{number}",
            alt,
            rows,
            title,
            reference=reference,
            in_octaves=True,
        )
    return found


def condition_in_words(batch_size: int, options: tuple, warmup_epochs: float) -> str:
    """A condition of the stability suite, for example `, start 1, batch of 256`.

    Example:

    >>> condition_in_words(32, (("branch_scale", 1.0),), 5.0)
    ', start 1, warm-up 5'
    """
    words = [f"start {value:g}" for name, value in options if name == "branch_scale"]
    words += [f"{name} {value:g}" for name, value in options if name != "branch_scale"]
    if warmup_epochs:
        words.append(f"warm-up {warmup_epochs:g}")
    if batch_size != 32:
        words.append(f"batch of {batch_size}")
    return "".join(f", {word}" for word in words)


def batch_free(pairs: Sequence[tuple[Piece, Piece]], margin: float, octaves: float) -> list[Panel]:
    """Draws each method's difference in top-1 against the ratio of its learning-rate limit.

    Args:
        pairs: For each method, the pieces of C7: on top-1 and on the limit.
        margin: Points that may be lost.
        octaves: Octaves of the limit that may be lost.
    """
    if not pairs:
        return []

    def draw(figure):
        axes = figure.subplots()
        for accuracy, limit in pairs:
            look = look_of(accuracy.question.name)
            x, y = limit.estimate, accuracy.estimate
            if limit.question.is_bound:
                x = forest.without_interval(x)
            axes.plot([x.low, x.high], [y.value] * 2, color=look.color, lw=1.2)
            axes.plot([x.value] * 2, [y.low, y.high], color=look.color, lw=1.2)
            axes.plot(x.value, y.value, **line_of(accuracy.question.name, ls="", ms=7, mec="k"))
        axes.axhline(0, color="#555555", lw=1)
        axes.axvline(0, color="#555555", lw=1)
        right, top = max(axes.get_xlim()[1], 0.5), max(axes.get_ylim()[1], margin)
        axes.fill_between([-octaves, right], -margin, top, color="#e8eef3", lw=0, zorder=0)
        axes.set(xlim=(None, right), ylim=(None, top))
        forest.write_octaves(axes, "×")
        axes.set_xlabel(f"largest stable learning rate / that of {BASELINE}")
        axes.set_ylabel(f"test top-1 minus {BASELINE}'s, points")
        names = [accuracy.question.name for accuracy, _ in pairs]
        canvas.legend(figure, [line_of(name, ls="") for name in names])

    alt = f"Test top-1 against stability, each compared with {BASELINE}. The goal is shaded."
    return [panel("batch_free", alt, draw, height=4.4)]


def noise_rows(trials: TrialTable) -> list[forest.Row]:
    """The baseline's test top-1 by the number of images that its statistics are taken over.

    Each is compared with the baseline as tuned, and so is `wn`.
    """
    baseline = trials.finals(BASELINE)
    found = trials.select(suite="regularization", stage="statistics", method=BASELINE)
    rows = []
    for options, group in sorted(found.groupby("options"), key=lambda pair: pair[0]):
        difference = trials.difference(group, baseline)
        label = f"{BASELINE}, statistics of {dict(options)['statistics_batch']}"
        rows.append(forest.row_of_trials(label, BASELINE, difference, group))
    finals = trials.finals("wn")
    if rows and len(finals):
        difference = trials.difference(finals, baseline)
        rows.append(forest.row_of_trials("wn", "wn", difference, finals, is_apart=True))
    return rows


def noise(rows: Sequence[forest.Row], trials: TrialTable) -> list[Panel]:
    """Draws `noise_rows`."""
    alt = f"Test top-1 minus {BASELINE}'s with its own batches, by the images of its statistics."
    title = f"test top-1 minus that of {BASELINE} with batches of {trials.protocol.batch_size}"
    return forest.draw("noise", alt, rows, f"{title}, points", margin=trials.protocol.margin)


def work(gaps: pd.DataFrame, margin: float) -> list[Panel]:
    """Draws the gap to the baseline by training images and by depth.

    Args:
        gaps: Frame with a row for each method and point: `method`, `train_size`, `depth`, `value`,
            `low` and `high`.
        margin: Points within which methods are equal.
    """
    panels = []
    base_depth, base_size = gaps["depth"].min(), None
    for name, title, column in (
        ("gap_by_images", "training images", "train_size"),
        ("gap_by_depth", "depth, layers", "depth"),
    ):
        if column == "train_size":
            shown = gaps[gaps["depth"] == base_depth]
        else:
            counts = gaps.groupby("train_size")["depth"].nunique()
            base_size = counts.idxmax() if len(counts) else None
            shown = gaps[gaps["train_size"] == base_size]
        if shown[column].nunique() < 2:
            continue
        alt = f"Test top-1 minus {BASELINE}'s by {title}, with 95 % intervals."
        panels.append(
            panel(
                name,
                alt,
                lambda figure, shown=shown, column=column, title=title: _draw_gaps(
                    figure, shown, column, title, margin
                ),
            )
        )
    return panels


def _draw_gaps(figure, gaps, column, title, margin):
    axes = figure.subplots()
    axes.axhspan(-margin, margin, color="#e8eef3", lw=0, zorder=0)
    axes.axhline(0, color="#555555", lw=1)
    names = table.methods_of(gaps)
    for i, method in enumerate(names):
        own = gaps[gaps["method"] == method].sort_values(column)
        style = line_of(method)
        x = own[column] * (1 + 0.03 * i)
        axes.plot(x, own["value"], **style)
        for at, low, high in zip(x, own["low"], own["high"], strict=True):
            axes.plot([at, at], [low, high], color=style["color"], lw=1.2)
    canvas.make_logarithmic(axes.xaxis)
    ticks = sorted(set(gaps[column]))
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xlabel(title)
    axes.set_ylabel(f"test top-1 minus {BASELINE}'s, points")
    canvas.legend(figure, [line_of(method) for method in names])


def tuning(trials: TrialTable) -> list[Panel]:
    """Draws the validation error of every tuning trial; diverged ones at the top, chosen ringed."""
    found = trials.select(suite="accuracy", stage="tune")
    if not len(found):
        return []
    return [
        panel(
            f"tuning_{key}",
            f"Validation error of every tuning trial against its {title}.",
            lambda figure, setting=(key, title, is_log): _draw_tuning(
                figure, trials, found, *setting
            ),
        )
        for key, title, is_log in _TUNED
    ]


def _draw_tuning(figure, trials, found, key, title, is_log):
    axes = figure.subplots()
    names = table.methods_of(found)
    for method in names:
        color, tune = look_of(method).color, found[found["method"] == method]
        done = tune[tune["status"] == "finished"]
        axes.plot(done[key], 100 * (1 - done["validation"]), **line_of(method, ls="", ms=3))
        diverged = tune.loc[tune["status"] == "diverged", key]
        # In axes coordinates, so that the marks are above the top whatever the range is.
        above = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(diverged, [1.04] * len(diverged), ls="", marker="x", ms=4, color=color, **above)
        choice = trials.choices.get(method)
        chosen = done[done["id"].isin(choice.trials)] if choice else done[:0]
        ring = {"marker": "o", "ms": 10, "mfc": "none", "mec": color, "mew": 1.5}
        axes.plot(chosen[key], 100 * (1 - chosen["validation"]), ls="", **ring)
    if (found["status"] == "diverged").any():
        axes.set_title("diverged: ×", loc="left", pad=14)
    canvas.scale_errors(axes)
    axes.set_xlabel(title)
    axes.set_ylabel("validation error, %")
    if is_log:
        canvas.make_logarithmic(axes.xaxis)
    canvas.legend(figure, [line_of(method, ls="") for method in names])


def curves(trials: TrialTable) -> list[Panel]:
    """Draws train and test error by epoch: the median over seeds, and their range as a band."""
    finals = trials.select(suite="accuracy", stage="final")
    finals = finals[finals["curves"].map(lambda curve: bool(curve and curve["epoch"]))]
    if not len(finals):
        return []
    return [
        panel(
            f"curves_{split}",
            f"Top-1 error on {split} by epoch.",
            lambda figure, split=split: _draw_curves(figure, finals, split),
        )
        for split in ("train", "test")
    ]


def _draw_curves(figure, finals, split):
    axes = figure.subplots()
    names = table.methods_of(finals)
    for method in names:
        found = finals[finals["method"] == method]["curves"]
        points = pd.DataFrame(
            [pair for c in found for pair in zip(c["epoch"], c[split], strict=True)],
            columns=["epoch", "top1"],
        )
        by_epoch = (100 * (1 - points["top1"])).groupby(points["epoch"])
        low, middle, high = by_epoch.min(), by_epoch.median(), by_epoch.max()
        axes.fill_between(low.index, low, high, color=look_of(method).color, alpha=0.12, lw=0)
        axes.plot(middle.index, middle, **line_of(method))
    canvas.scale_errors(axes)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel(f"{split} error, %")
    canvas.legend(figure, map(line_of, names))


def signal(profiles: pd.DataFrame) -> list[Panel]:
    """Draws each block's variance and gradient norm, at the first and the last measured epoch.

    Args:
        profiles: Frame with `method`, `epoch`, `block` (from 1), `variance` and `gradient_norm`,
            medians over seeds.
    """
    if not len(profiles):
        return []
    epochs = sorted(set(profiles["epoch"]))
    return [
        panel(
            f"signal_{quantity}_{'start' if epoch == epochs[0] else 'end'}",
            f"{title.capitalize()} of each block's output {after(epoch)}.",
            lambda figure, shown=(quantity, title, epoch): _draw_signal(figure, profiles, *shown),
        )
        for quantity, title in (("variance", "variance"), ("gradient_norm", "gradient norm"))
        for epoch in dict.fromkeys((epochs[0], epochs[-1]))
    ]


def _draw_signal(figure: Figure, profiles, quantity, title, epoch):
    axes = figure.subplots()
    found = profiles[(profiles["epoch"] == epoch) & (profiles[quantity] > 0)]
    names = table.methods_of(found)
    for method in names:
        own = found[found["method"] == method]
        axes.plot(own["block"], own[quantity], **line_of(method, ms=3))
    axes.set_title(after(epoch), loc="left")
    axes.set_xlabel("residual block, from the input")
    axes.set_ylabel(title)
    axes.xaxis.get_major_locator().set_params(integer=True)
    canvas.make_logarithmic(axes.yaxis)
    canvas.legend(figure, map(line_of, names))
