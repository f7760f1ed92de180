"""Suite signal: variance and gradients by depth, at the start and as training goes on."""

import dataclasses
import math
import statistics

from keras_wn.study.analysis import methods
from keras_wn.study.analysis.counts import Counts

# A variance ten times as large or as small as another counts as changed: a norm that differs by a factor of 3.2. Our choice.
FACTOR = 10.0


@dataclasses.dataclass(frozen=True)
class Profile:
    """Medians over seeds at one epoch; a number that is not finite counts as infinite.

    Attributes:
        epoch: Number.
        n: Number of seeds.
        blocks: Tuple of the blocks' names, from the input.
        variance, gradient_norm: Tuples of floats, by block.
        ratio: Float, median of the last block's variance divided by the first's.
    """

    epoch: float
    n: int
    blocks: tuple
    variance: tuple
    gradient_norm: tuple
    ratio: float


@dataclasses.dataclass(frozen=True)
class Drift:
    """How many seeds did what the paper saw.

    Attributes:
        n: Number of seeds measured at the start and later.
        preserved: Of these, at the first measured epoch the last block's variance was within `FACTOR` of the first block's.
        blown_up: From the first measured epoch to the last, the last block's variance grew by `FACTOR` or more.
        vanished: In that time, the first block's variance fell by `FACTOR` or more.
    """

    n: int
    preserved: int
    blown_up: int
    vanished: int


@dataclasses.dataclass(frozen=True)
class MethodSignal:
    """One method's signal.

    Attributes:
        method: Name.
        trials: Tuple of `Trial`.
        profiles: Tuple of `Profile`, by epoch.
        drift: `Drift`.
    """

    method: str
    trials: tuple
    profiles: tuple
    drift: Drift

    @property
    def counts(self):
        """`Counts` of its trials."""
        return Counts.of(self.trials)


def measure(log):
    """What the signal suite says.

    Args:
        log: `TrialLog`.

    Returns:
        Dict from method to `MethodSignal`, in the order of tables; empty if the suite has no trials.
    """
    trials = log.select(suite="signal")
    return {name: _of_method(name, tuple(t for t in trials if t.method == name)) for name in methods.of_trials(trials)}


def _of_method(method, trials):
    measured = [sorted(trial.signal, key=lambda at: at["epoch"]) for trial in trials if trial.signal]
    epochs = sorted({at["epoch"] for signal in measured for at in signal})
    profiles = tuple(
        _profile(e, [at["blocks"] for signal in measured for at in signal if at["epoch"] == e]) for e in epochs
    )
    return MethodSignal(method, trials, profiles, _drift([signal for signal in measured if len(signal) > 1]))


def _profile(epoch, seeds):
    def medians(key):
        return tuple(
            statistics.median(map(_number, values))
            for values in zip(*([b[key] for b in s] for s in seeds), strict=True)
        )

    return Profile(
        epoch=epoch,
        n=len(seeds),
        blocks=tuple(block["block"] for block in seeds[0]),
        variance=medians("variance"),
        gradient_norm=medians("gradient_norm"),
        ratio=statistics.median(_ratio(blocks[-1], blocks[0]) for blocks in seeds),
    )


def _drift(measured):
    ends = [(signal[0]["blocks"], signal[-1]["blocks"]) for signal in measured]
    return Drift(
        n=len(ends),
        preserved=sum(1 / FACTOR <= _ratio(start[-1], start[0]) <= FACTOR for start, _ in ends),
        blown_up=sum(_ratio(end[-1], start[-1]) >= FACTOR for start, end in ends),
        vanished=sum(_ratio(end[0], start[0]) <= 1 / FACTOR for start, end in ends),
    )


def _ratio(block, other):
    above, below = _number(block["variance"]), _number(other["variance"])
    if math.isinf(below):
        return 1.0 if math.isinf(above) else 0.0
    if below == 0:
        return 1.0 if above == 0 else math.inf
    return above / below


def _number(value):
    return math.inf if value is None else value
