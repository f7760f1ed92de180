"""Summarizes the suite cost: the time of a training step of each method."""

import dataclasses

import pandas as pd

from keras_wn.study import table
from keras_wn.study.statistics import Estimate
from keras_wn.study.table import UNNORMALIZED, TrialTable


@dataclasses.dataclass(frozen=True, eq=False)
class MethodCost:
    """One method's step time. The ratios are None for the network without normalization.

    Attributes:
        trials: The trials.
        rounds: Seconds of each round, with (process, round) as the index.
        quartiles: Quartiles of the rounds' seconds, or None without rounds.
        ratio: Mean of the step's time divided by that without normalization, over the rounds in
            which the two were timed side by side, or None.
        ratio_quartiles: Quartiles of that ratio, or None.
        share: Mean share of the step that normalization takes, `1 - without / with`, or None.
    """

    trials: pd.DataFrame
    rounds: pd.Series
    quartiles: tuple[float, float, float] | None
    ratio: Estimate | None
    ratio_quartiles: tuple[float, float, float] | None
    share: Estimate | None


def summarize_cost(trials: TrialTable) -> dict[str, MethodCost]:
    """Summarizes the cost suite by method, in the order of tables."""
    found = trials.select(suite="cost")
    plain = _rounds(found[found["method"] == UNNORMALIZED])
    return {
        method: _summarize_method(method, found[found["method"] == method], plain)
        for method in table.methods_of(found)
    }


def _summarize_method(method, trials, plain):
    rounds = _rounds(trials)
    # The ratio of a method to itself is no measurement.
    ratios = (rounds / plain).dropna() if method != UNNORMALIZED else rounds[:0]
    return MethodCost(
        trials=trials,
        rounds=rounds,
        quartiles=_quartiles(rounds),
        ratio=table.mean(ratios),
        ratio_quartiles=_quartiles(ratios),
        share=table.mean(1 - 1 / ratios),
    )


def _rounds(trials):
    seconds = {
        (trial.process, number): seconds
        for trial in trials.itertuples()
        for number, seconds in enumerate(trial.step_seconds)
        if seconds
    }
    index = pd.MultiIndex.from_tuples(list(seconds), names=["process", "round"])
    return pd.Series(list(seconds.values()), index=index, dtype=float)


def _quartiles(values):
    return tuple(values.quantile([0.25, 0.5, 0.75])) if len(values) else None
