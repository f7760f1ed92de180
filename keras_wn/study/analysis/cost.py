"""Suite cost: the time of a training step, by method, timed side by side."""

import dataclasses
import statistics

from keras_wn.study.analysis import estimates, methods
from keras_wn.study.statistics import Estimate


@dataclasses.dataclass(frozen=True)
class MethodCost:
    """One method's step time.

    Attributes:
        method: Name.
        trials: Tuple of `Trial`.
        rounds: Dict from (process, round) to seconds.
        quartiles: Tuple of three floats, the quartiles of the rounds' seconds, or None without rounds.
        ratio: `Estimate` of the mean of its time divided by that without normalization, over rounds timed side by side, or None.
        ratio_quartiles: Tuple of the quartiles of that ratio, or None.
        share: `Estimate` of the mean share of the step that normalization takes: `1 - without / with`, or None.
    """

    method: str
    trials: tuple
    rounds: dict
    quartiles: tuple | None
    ratio: Estimate | None
    ratio_quartiles: tuple | None
    share: Estimate | None


def measure(log):
    """What the cost suite says.

    Args:
        log: `TrialLog`.

    Returns:
        Dict from method to `MethodCost`, in the order of tables; empty if the suite has no trials.
    """
    trials = log.select(suite="cost")
    by_method = {name: tuple(t for t in trials if t.method == name) for name in methods.of_trials(trials)}
    plain = _rounds(by_method.get(methods.UNNORMALIZED, ()))
    return {name: _of_method(name, found, plain) for name, found in by_method.items()}


def _of_method(method, trials, plain):
    rounds = _rounds(trials)
    pairs = [(seconds, plain[key]) for key, seconds in rounds.items() if key in plain]
    own = method == methods.UNNORMALIZED  # Its ratio to itself is no measurement.
    ratios = [] if own else [seconds / without for seconds, without in pairs]
    return MethodCost(
        method=method,
        trials=trials,
        rounds=rounds,
        quartiles=_quartiles(rounds.values()),
        ratio=estimates.mean(ratios),
        ratio_quartiles=_quartiles(ratios),
        share=estimates.mean(1 - 1 / ratio for ratio in ratios),
    )


def _rounds(trials):
    return {
        (trial.process, number): seconds
        for trial in trials
        for number, seconds in enumerate(trial.step_seconds)
        if seconds
    }


def _quartiles(values):
    values = list(values)
    if len(values) < 2:
        return tuple(values) * 3 or None
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))
