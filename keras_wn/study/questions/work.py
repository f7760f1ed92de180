"""Asks how the gap to batch normalization grows with training images and with depth.

The methods are those of the settings, and the method without batch statistics whose search found
the best validation top-1. The learning rate is tuned again at each point.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import ClassVar

import pandas as pd
from matplotlib.figure import Figure

from keras_wn import methods
from keras_wn.study import canvas, search, table
from keras_wn.study.blocks import Block, Paragraph, Section, Table, figures_of
from keras_wn.study.canvas import Panel, line_of, panel
from keras_wn.study.fields import Count, MethodName, ModelName
from keras_wn.study.formatting import points
from keras_wn.study.question import Question
from keras_wn.study.specs import BASELINE, Choice, Done, Planner, TrialSpec
from keras_wn.study.table import TrialTable
from keras_wn.study.trial_lists import TrialLinks
from keras_wn.study.verdicts import CONFIDENCE


@dataclasses.dataclass(frozen=True)
class Settings:
    """The points at which the gap is measured.

    Attributes:
        methods: Names.
        points: Triples of the number of training images, the name of a network, and epochs.
        factors: Factors of the tuned learning rate that are tried at each point.
        seeds: Final trials of each point.
    """

    name: ClassVar[str] = "work"
    methods: tuple[MethodName, ...]
    points: tuple[tuple[Count | None, ModelName, Count], ...]
    factors: tuple[float, ...]
    seeds: Count


def plan(planner: Planner, done: Done) -> list[TrialSpec]:
    """The trials of all searches, and, when they are done, those at each point."""
    asked: Settings = planner.protocol.of("work")
    names = [m for m in asked.methods if m in planner.methods]
    specs, choices = [], {}
    for method in planner.methods:
        searched, choices[method] = search.search_of(method, planner, done)
        specs += searched
    if None in choices.values():
        return specs
    if best := best_batch_free(choices):
        names.append(best)
    for method, point in itertools.product(dict.fromkeys(names), asked.points):
        specs += _plan_point(planner, done, method, choices[method], *point)
    return specs


def best_batch_free(choices: dict[str, Choice]) -> str | None:
    """The method without batch statistics with the best validation top-1, or None if none is."""
    free = [m for m in choices if not methods.get(m).batch_statistics]
    return max(free, key=lambda m: choices[m].top1, default=None)


def _plan_point(planner, done, method, choice, size, model, epochs):
    asked: Settings = planner.protocol.of("work")
    shared = {"train_size": size, "model": model, "train_epochs": epochs}
    scored, specs = [], []
    for factor in asked.factors:
        rate = float(f"{choice.setting.learning_rate * factor:.4g}")
        setting = dataclasses.replace(choice.setting, learning_rate=rate)
        tried = dataclasses.replace(choice, setting=setting)
        spec = planner.chosen("work", "tune", method, tried, search.SEED, **shared)
        specs.append(spec)
        scored.append(search.score(setting, [spec], planner, done))
    if None in scored:
        return specs
    best = search.choose(scored)
    return specs + [
        planner.chosen("work", "final", method, best, seed, splits=("train", "test"), **shared)
        for seed in range(asked.seeds)
    ]


def gaps(trials: TrialTable) -> pd.DataFrame:
    """Each method's test top-1 minus the baseline's at each point, a row for each of both."""
    found = trials.select(suite="work", stage="final")
    rows = []
    for (size, model), at_point in found.groupby(["train_size", "model"]):
        baseline = at_point[at_point["method"] == BASELINE]
        for method in table.methods_of(at_point):
            if method == BASELINE:
                continue
            own = at_point[at_point["method"] == method]
            # Without a pair that finished, the point has a row that says so.
            difference = trials.difference(own, baseline)
            estimate = difference and difference.interval(CONFIDENCE)
            ends = (estimate.value, estimate.low, estimate.high) if estimate else (math.nan,) * 3
            unfinished, depth = table.unfinished(own), table.depth(model)[0]
            rows.append(
                (method, int(size), model, depth, *ends, tuple(own["id"]), unfinished, estimate)
            )
    columns = ["method", "train_size", "model", "depth", "value", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "trials", "unfinished", "estimate"])


def sections(trials: TrialTable, links: TrialLinks) -> Iterator[Section]:
    """The section on the gap against the work."""
    if len(trials.select(suite="work", stage="final")):
        blocks = tuple(_blocks(trials, links))
        yield Section("work", "How the gap grows with the work", blocks, "", "Work")


def _blocks(trials: TrialTable, links: TrialLinks) -> Iterator[Block]:
    found = gaps(trials)
    yield Paragraph(
        "The learning rate is tuned again at each point. The paper's ImageNet result lies far to "
        "the right of both figures, and stays the paper's."
    )
    yield from figures_of(
        "Test top-1 minus bn's, by training images and by depth. The 95 % intervals are over "
        "seeds, without the noise of the test images.",
        _draw(found[found["estimate"].notna()], trials.protocol.margin),
    )
    rows = tuple(
        (
            f"{g.method}, {g.train_size:,} images, {g.model}",
            links.link(points(g.estimate), g.trials),
            f"{g.estimate.n if g.estimate else 0}{f' ({g.unfinished})' if g.unfinished else ''}",
        )
        for g in found.itertuples()
    )
    columns = ("Method and point", "Test top-1 minus bn's, points [95 % interval]", "Seeds")
    yield Table("The gap at each point.", columns, rows)


def _draw(found: pd.DataFrame, margin: float) -> list[Panel]:
    """Draws the gap by training images of the shallowest network, and by depth."""
    by_images = found[found["depth"] == found["depth"].min()]
    depths = found.groupby("train_size")["depth"].nunique()
    by_depth = found[found["train_size"] == (depths.idxmax() if len(depths) else None)]
    return [
        panel(
            name,
            f"Test top-1 minus {BASELINE}'s by {title}, with 95 % intervals.",
            lambda figure, shown=(shown, column, title): _draw_gaps(figure, *shown, margin),
        )
        for name, title, column, shown in (
            ("gap_by_images", "training images", "train_size", by_images),
            ("gap_by_depth", "depth, layers", "depth", by_depth),
        )
        if shown[column].nunique() > 1
    ]


def _draw_gaps(figure: Figure, found, column, title, margin):
    axes = figure.subplots()
    axes.axhspan(-margin, margin, color="#e8eef3", lw=0, zorder=0)
    axes.axhline(0, color="#555555", lw=1)
    names = table.methods_of(found)
    for i, method in enumerate(names):
        own = found[found["method"] == method].sort_values(column)
        style = line_of(method)
        x = own[column] * (1 + 0.03 * i)
        axes.plot(x, own["value"], **style)
        for at, low, high in zip(x, own["low"], own["high"], strict=True):
            axes.plot([at, at], [low, high], color=style["color"], lw=1.2)
    canvas.make_logarithmic(axes.xaxis)
    ticks = sorted(set(found[column]))
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xlabel(title)
    axes.set_ylabel(f"test top-1 minus {BASELINE}'s, points")
    canvas.legend(figure, [line_of(method) for method in names])


QUESTION = Question(name="work", settings=Settings, plan=plan, sections=sections)
