"""Asks how the signal passes through a deep network, at the start and as it trains.

It is C6's cause, so that its figures stand in the section on stability.
"""

import dataclasses
from typing import ClassVar

import pandas as pd
from matplotlib.figure import Figure

from keras_wn.study import canvas, search, table
from keras_wn.study.blocks import Figures, figures_of
from keras_wn.study.canvas import line_of, panel
from keras_wn.study.fields import Count, ModelName
from keras_wn.study.formatting import after
from keras_wn.study.question import Question
from keras_wn.study.specs import Done, Planner, TrialSpec
from keras_wn.study.table import TrialTable


@dataclasses.dataclass(frozen=True)
class Settings:
    """The trials in which the signal is measured, each with its method's tuned setting.

    Attributes:
        model: Name of a network.
        train_epochs: Epochs.
        seeds: Seeds.
        epochs: Epochs after which the signal is measured; 0 is the start.
    """

    name: ClassVar[str] = "signal"
    model: ModelName
    train_epochs: Count
    seeds: Count
    epochs: tuple[Count, ...]


def plan(planner: Planner, done: Done) -> list[TrialSpec]:
    """The trials of each method's search, and, when it is done, those that measure the signal."""
    asked: Settings = planner.protocol.of("signal")
    specs = []
    for method in planner.methods:
        searched, choice = search.search_of(method, planner, done)
        specs += searched
        if choice is None:
            continue
        specs += [
            planner.chosen(
                "signal",
                "drift",
                method,
                choice,
                seed,
                model=asked.model,
                train_epochs=asked.train_epochs,
                signal_epochs=asked.epochs,
            )
            for seed in range(asked.seeds)
        ]
    return specs


def profiles(trials: TrialTable) -> pd.DataFrame:
    """The signal of each block by method and epoch: medians over seeds.

    The columns are `method`, `epoch`, `block` (from 1), `variance` and `gradient_norm`.
    """
    rows = [
        {**block, "method": trial.method, "epoch": measured["epoch"], "block": number}
        for trial in trials.select(suite="signal").itertuples()
        for measured in trial.signal
        for number, block in enumerate(measured["blocks"], start=1)
    ]
    columns = ["method", "epoch", "block", "variance", "gradient_norm"]
    frame = pd.DataFrame(rows, columns=columns)
    frame = frame.astype({"variance": float, "gradient_norm": float})
    return frame.groupby(["method", "epoch", "block"], as_index=False).median()


def evidence(trials: TrialTable) -> list[Figures]:
    """Draws each block's variance and gradient norm, at the first and the last measured epoch."""
    found = profiles(trials)
    epochs = sorted(set(found["epoch"]))
    panels = [
        panel(
            f"signal_{quantity}_{'start' if epoch == epochs[0] else 'end'}",
            f"{title.capitalize()} of each block's output {after(epoch)}.",
            lambda figure, shown=(quantity, title, epoch): _draw(figure, found, *shown),
        )
        for quantity, title in (("variance", "variance"), ("gradient_norm", "gradient norm"))
        for epoch in dict.fromkeys((*epochs[:1], *epochs[-1:]))
    ]
    return figures_of(
        "The signal by depth at the start and as it drifts: medians over seeds.", panels
    )


def _draw(figure: Figure, found, quantity, title, epoch):
    axes = figure.subplots()
    found = found[(found["epoch"] == epoch) & (found[quantity] > 0)]
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


QUESTION = Question(name="signal", settings=Settings, plan=plan)
