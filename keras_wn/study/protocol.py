"""What makes the trials of a study comparable: the first line of its log."""

import dataclasses
import json
import math

from keras_wn import models
from keras_wn.data.detect import DATASETS
from keras_wn.training import schedules
from keras_wn.training.config import PRECISIONS
from keras_wn.training.errors import UsageError

VERSION = 1


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How every trial of a study is done, whatever its method.

    Attributes:
        dataset, data_dir, image_size: The data set, its folder and the images' size, as `TrainConfig`'s.
        train_size: Training images, drawn anew by each seed; None for all.
        label_noise: Share of the training labels that are replaced by another class's, drawn by the seed.
        model, batch_size, train_epochs, schedule, momentum, precision: As `TrainConfig`'s, of the accuracy suite.
        target_top1: Validation top-1 whose first epoch is reported.
        curve_points: Epochs, evenly spaced, at which final trials are measured.
        tuning: Dict: `trials` a method, `extension` trials in each of `rounds` more rounds, ranges of `learning_rate` (peak of the
            run), `weight_decay` and `warmup_share` (of the epochs).
        stability: Dict: `learning_rates`, `models` from the shallowest to the deepest, `train_epochs`.
        regularization: Dict: `methods`, grids of `dropout` and `weight_decay`.
        signal: Dict: `model`, `train_epochs`, and `epochs`, after which the signal is measured.
        cost: Dict: `model`, `image_size`, `batch_size`, `steps` a round, `rounds`.
    """

    dataset: str
    data_dir: str | None
    image_size: int
    train_size: int | None
    label_noise: float
    model: str
    batch_size: int
    train_epochs: int
    schedule: str
    momentum: float
    precision: str
    target_top1: float
    curve_points: int
    tuning: dict
    stability: dict
    regularization: dict
    signal: dict
    cost: dict

    def check(self):
        """Raises `UsageError` for the first value that is not allowed."""
        for flag, allowed in _CHOICES.items():
            if getattr(self, flag) not in allowed:
                raise UsageError(
                    f"--{flag}={getattr(self, flag)}: unknown. Allowed: {', '.join(allowed)}."
                )
        for flag, (is_allowed, text) in _RANGES.items():
            value = getattr(self, flag)
            if value is not None and not (math.isfinite(value) and is_allowed(value)):
                raise UsageError(f"--{flag}={value}: not allowed. Allowed: {text}.")

    def record(self, data):
        """The line of the log.

        Args:
            data: Dict of what is known of the data once they are loaded, `Trials.data`.
        """
        # As it is read again: tuples become lists.
        return json.loads(
            json.dumps({"kind": "protocol", "version": VERSION, **data, **dataclasses.asdict(self)})
        )


def differences(there, asked):
    """What differs between two records of protocols, each as `key: there X, asked Y`.

    Example:

    >>> differences({"model": "a", "tuning": {"trials": 8}}, {"model": "a", "tuning": {"trials": 4}})
    ['tuning.trials: there 8, asked 4']
    """
    found = []
    for key in sorted({*there, *asked}):
        old, new = there.get(key), asked.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += [f"{key}.{text}" for text in differences(old, new)]
        elif (
            old != new and key != "data_dir"
        ):  # The same data may lie elsewhere on another machine.
            found.append(f"{key}: there {old}, asked {new}")
    return found


_CHOICES = {
    "dataset": DATASETS,
    "model": models.names(),
    "schedule": schedules.names(),
    "precision": PRECISIONS,
}
_RANGES = {
    "train_size": (lambda x: x >= 1, "1 or more"),
    "label_noise": (lambda x: 0 <= x < 1, "at least 0 and less than 1"),
    "batch_size": (lambda x: x >= 1, "1 or more"),
    "train_epochs": (lambda x: x >= 2, "2 or more"),
    "image_size": (lambda x: x >= 8, "8 or more"),
}
