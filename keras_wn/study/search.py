"""Searches for a method's learning rate, weight decay and warm-up, in the same way for each."""

import dataclasses

import numpy as np
from scipy.stats import qmc

# An extension looks beyond the range by this factor.
_EXTENSION_FACTOR = 8.0
# All trials of the search have this seed, so that they differ by their settings alone. Final trials
# have the seeds from 0 on.
SEED = 10_000


@dataclasses.dataclass(frozen=True)
class Setting:
    """The values that are tuned for a method.

    Attributes:
        learning_rate: Float, the peak.
        weight_decay: Float.
        warmup_share: Float, share of the epochs.
    """

    learning_rate: float
    weight_decay: float
    warmup_share: float


@dataclasses.dataclass(frozen=True)
class Choice:
    """The setting that a search chose.

    Attributes:
        setting: `Setting`.
        trial: Identity of its trial.
        edge: Whether its learning rate is the lowest or the highest that was tried.
    """

    setting: Setting
    trial: str
    edge: bool


def settings(
    tuning: dict, first: int, count: int, learning_rates: tuple[float, float] | None = None
) -> list[Setting]:
    """Points of the search: Halton's sequence over the ranges, logarithmic but for the warm-up.

    Args:
        tuning: Dict, as `Protocol.tuning`.
        first, count: Place of the first point in the sequence, from 0, and their number.
        learning_rates: Range that replaces the range of `tuning`. None keeps it.

    Returns:
        List of `Setting`.

    Example:

    >>> ranges = {
    ...     "learning_rate": [0.01, 1.0], "weight_decay": [1e-4, 1e-2], "warmup_share": [0.0, 0.4]
    ... }
    >>> [round(setting.learning_rate, 4) for setting in settings(ranges, 0, 3)]
    [0.1, 0.0316, 0.3162]
    """
    sequence = qmc.Halton(d=3, scramble=False)
    sequence.fast_forward(first + 1)  # The first point is a corner of the ranges.
    rates = learning_rates or tuning["learning_rate"]
    return [
        Setting(
            _logarithmic(x, rates),
            _logarithmic(y, tuning["weight_decay"]),
            _linear(z, tuning["warmup_share"]),
        )
        for x, y, z in sequence.random(count)
    ]


def extended(tuning: dict, trials: list[dict]) -> tuple[float, float]:
    """The range of learning rates of an extension.

    It lies beyond the edge at which the best trial lies, and is the old one if the trial lies at
    none.

    Args:
        tuning: Dict, as `Protocol.tuning`.
        trials: Records of a method's trials so far.
    """
    low, high = tuning["learning_rate"]
    rates = [trial["spec"]["learning_rate"] for trial in trials]
    best = best_trial(trials)
    if best is None or best["spec"]["learning_rate"] == min(rates):
        bottom = min(low, min(rates))
        return bottom / _EXTENSION_FACTOR, bottom
    if best["spec"]["learning_rate"] == max(rates):
        top = max(high, max(rates))
        return top, top * _EXTENSION_FACTOR
    return low, high


def choose(trials: list[dict], epochs: int) -> Choice:
    """The best setting by validation top-1, ties by validation loss.

    Args:
        trials: Records of a method's trials.
        epochs: Epochs of these trials.

    Returns:
        `Choice`. If no trial stayed finite, it is the one with the lowest learning rate, so that
        the method is reported, and not dropped.
    """
    tried = [trial for trial in trials if trial["status"] != "crashed"] or trials
    best = best_trial(trials) or min(tried, key=lambda trial: trial["spec"]["learning_rate"])
    spec, rates = best["spec"], [trial["spec"]["learning_rate"] for trial in tried]
    setting = Setting(spec["learning_rate"], spec["weight_decay"], spec["warmup_epochs"] / epochs)
    return Choice(setting, best["id"], spec["learning_rate"] in (min(rates), max(rates)))


def best_trial(trials: list[dict]) -> dict | None:
    """The finished trial with the highest validation top-1, or None if none finished."""
    finished = [trial for trial in trials if trial["status"] == "finished"]
    return min(finished, key=_order, default=None)


def _order(trial):
    figures = trial["final"]["validation"]
    return -figures["top1"], figures["loss"]


def _logarithmic(share, bounds):
    low, high = np.log(bounds)
    # Rounded to four digits, which a report can print.
    return float(f"{np.exp(low + share * (high - low)):.4g}")


def _linear(share, bounds):
    return round(float(bounds[0] + share * (bounds[1] - bounds[0])), 3)
