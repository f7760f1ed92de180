"""Builds the schedule of the learning rate over the steps of a run."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

POLYNOMIAL_POWER = 2.0
# Stepwise: a tenth after each of these shares of the run, as 30, 60 and 80 of 90 epochs.
_STEPWISE_DROPS = (30 / 90, 60 / 90, 80 / 90)


def _polynomial(rate, steps):
    return keras.optimizers.schedules.PolynomialDecay(
        rate, steps, end_learning_rate=0.0, power=POLYNOMIAL_POWER
    )


def _cosine(rate, steps):
    return keras.optimizers.schedules.CosineDecay(rate, steps)


def _stepwise(rate, steps):
    # Keras keeps a rate up to and including the step of its boundary.
    boundaries = [max(1, round(share * steps)) - 1 for share in _STEPWISE_DROPS]
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        boundaries, [rate, rate * 0.1, rate * 0.01, rate * 0.001]
    )


# Keras makes these numbers float32. A Python integer would have to fit into 32 bits first.
_DECAYS = {"polynomial": _polynomial, "cosine": _cosine, "stepwise": _stepwise}


def names() -> tuple[str, ...]:
    """Names that `build` and `--schedule` take."""
    return tuple(_DECAYS)


def build(
    name: str, peak: float, total_steps: int, warmup_steps: int, warmup_power: float = 1.0
) -> Any:
    """Warm-up to `peak`, then a decay over the remaining steps.

    Args:
        name: `polynomial` (power 2, as in the study), `cosine` or `stepwise`.
        peak: Positive float, the highest learning rate.
        total_steps: Positive integer, steps of the whole run.
        warmup_steps: Integer from 0 to less than `total_steps`.
        warmup_power: Positive float; 1 for a linear warm-up.

    Returns:
        `WarmUp` schedule.

    Raises:
        ValueError: For an unknown name, or a warm-up that leaves no step to train on.

    Example:

    >>> schedule = build("polynomial", peak=0.1, total_steps=100, warmup_steps=20)
    >>> [round(float(schedule(step)), 4) for step in (0, 9, 20, 60)]
    [0.005, 0.05, 0.1, 0.025]
    """
    if name not in _DECAYS:
        raise ValueError(f"Unknown schedule {name!r}. Allowed: {', '.join(names())}.")
    if not 0 <= warmup_steps < total_steps:
        raise ValueError(
            f"A warm-up of {warmup_steps} steps is not allowed. Allowed: 0 to {total_steps - 1}, "
            "less than the whole run."
        )
    decay = _DECAYS[name](peak, float(total_steps - warmup_steps))
    return WarmUp(decay, peak, warmup_steps, warmup_power)


class Rates:
    """The learning rates of the steps of a run: a sequence that is computed where it is read.

    An array of the rates of a long run might not fit in memory.

    Args:
        schedule: Function from float32 array of updates to the rates of these.
        steps: Number of steps of the run.
        steps_per_update: Number of steps that share an update of the weights.

    Example:

    >>> rates = Rates(build("polynomial", 0.1, total_steps=10**12, warmup_steps=2), 10**12)
    >>> len(rates), rates[1:4].tolist() == [rates[1], rates[2], rates[3]]
    (1000000000000, True)
    """

    # Parts begin at the same steps wherever a run continues, because the last digits of a rate may
    # depend on its position in an array.
    _PART = 4096

    def __init__(self, schedule: Callable, steps: int, steps_per_update: int = 1):
        self._schedule, self._steps, self._per_update = schedule, steps, steps_per_update
        self._number, self._part = -1, np.zeros(0, "float32")

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return np.array([self[i] for i in range(*index.indices(self._steps))], "float32")
        number, place = divmod(index, self._PART)
        if number != self._number:
            end = min((number + 1) * self._PART, self._steps)
            updates = np.arange(number * self._PART, end) // self._per_update
            rates = ops.convert_to_numpy(self._schedule(updates.astype("float32")))
            self._number, self._part = number, np.asarray(rates, "float32")
        return self._part[place]


@dataclasses.dataclass(frozen=True)
class Timetable:
    """Holds the learning rate of each step of a run, and the steps after which something is due.

    Attributes:
        rates: Sequence of the learning rate of each step, as `Rates`.
        decay: Weight decay.
        steps_per_epoch: Steps of an epoch.
        steps_per_loop: Steps that run without a return to Python; they divide an epoch.
        log_steps: Steps between two logs within an epoch. None: logs follow epochs alone.
        checkpoint_steps: Steps between two checkpoints within an epoch. None: they follow epochs
            alone.
    """

    rates: Sequence[float]
    decay: float
    steps_per_epoch: int
    steps_per_loop: int = 1
    log_steps: int | None = None
    checkpoint_steps: int | None = None


@keras.saving.register_keras_serializable(package="keras_wn")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Warm-up to `peak`, followed by another schedule.

    The rate is `peak ((step + 1) / warmup_steps)^power`, and then `schedule(step - warmup_steps)`.

    Args:
        schedule: Keras `LearningRateSchedule`.
        peak: Float, where the warm-up ends.
        warmup_steps: Integer; 0 for none.
        power: Positive float; 1 for a linear warm-up.

    Example:

    >>> import keras
    >>> constant = keras.optimizers.schedules.PiecewiseConstantDecay([1000], [0.1, 0.01])
    >>> round(float(WarmUp(constant, peak=0.1, warmup_steps=4)(1)), 4)
    0.05
    """

    def __init__(self, schedule, peak, warmup_steps, power=1.0):
        self.schedule = schedule
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.power = power

    def __call__(self, step):
        step = ops.cast(step, "float32")
        # Start above 0, because a step at rate 0 would be wasted.
        rising = self.peak * ((step + 1.0) / max(self.warmup_steps, 1)) ** self.power
        falling = self.schedule(ops.maximum(step - self.warmup_steps, 0.0))
        return ops.where(step < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "power": self.power,
        }

    @classmethod
    def from_config(cls, config):
        return cls(
            **{**config, "schedule": keras.saving.deserialize_keras_object(config["schedule"])}
        )
