"""Builds the schedule of the learning rate over the steps of a run."""

from typing import Any

import keras
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
    boundaries = [max(1, round(share * steps)) for share in _STEPWISE_DROPS]
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        boundaries, [rate, rate * 0.1, rate * 0.01, rate * 0.001]
    )


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
    return WarmUp(_DECAYS[name](peak, total_steps - warmup_steps), peak, warmup_steps, warmup_power)


@keras.saving.register_keras_serializable(package="keras_wn")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Warm-up to `peak` in front of another schedule.

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
        # The first step already moves: at rate 0 it would be wasted.
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
