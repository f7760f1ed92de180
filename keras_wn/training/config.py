"""What a training run is asked to do, checked before anything is written."""

import dataclasses
import math
import os

from keras_wn import methods, models
from keras_wn.training import schedules
from keras_wn.training.errors import UsageError

DATASETS = ("digits",)
STRATEGIES = ("auto", "none", "mirrored")
XLA = ("auto", "on", "off")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# `base_learning_rate` is for this batch size, and scaled in proportion to the batch.
BASE_BATCH_SIZE = 256
DRY_RUN_STEPS = 2


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Flags of a run. `None` stands for the method card's value; `resolved` fills it in.

    Attributes:
        norm: Name of the method.
        model: Name of the network.
        dataset: Name of the data set.
        data_dir: Folder that holds ImageNet, or None for the embedded data.
        model_dir: Folder for the run's files.
        join: Name of the residual join.
        schedule: Name of the learning-rate decay.
        batch_size: Global batch size.
        train_epochs: Number of passes over the training split.
        base_learning_rate: Highest learning rate for a batch of 256.
        warmup_epochs: Length of the linear warm-up.
        momentum: Momentum of SGD.
        weight_decay: L2 coefficient of the variables that the card decays.
        label_smoothing: Share of a label spread over all classes.
        dropout: Rate before the classifier.
        init_batches: Batches, put together into one, that a data-dependent start sees.
        precision: Keras dtype policy.
        strategy: Name of the devices to train on.
        virtual_devices: CPU devices to make out of one; 0 for none.
        xla: Whether the step is compiled by XLA.
        clip_norm: Bound of the global norm of the whole batch's gradient; 0 for none.
        seed: Seed of the initial weights, the data order and dropout.
        dry_run: Two steps only, then all result files.
    """

    norm: str = "wn_trelu"
    model: str = "resnet50"
    dataset: str = "digits"
    data_dir: str | None = None
    model_dir: str | None = None
    join: str | None = None
    schedule: str = "polynomial"
    batch_size: int = 64
    train_epochs: int = 12
    base_learning_rate: float | None = None
    warmup_epochs: float | None = None
    momentum: float = 0.9
    weight_decay: float | None = None
    label_smoothing: float = 0.0
    dropout: float = 0.0
    init_batches: int = 4
    precision: str = "float32"
    strategy: str = "auto"
    virtual_devices: int = 0
    xla: str = "auto"
    clip_norm: float = 0.0
    seed: int = 0
    dry_run: bool = False

    @property
    def card(self):
        return methods.get(self.norm)

    def resolved(self):
        """This configuration with every value in place.

        Raises:
            UsageError: For the first value that is not allowed.
        """
        for flag, allowed in _CHOICES.items():
            value = getattr(self, flag)
            if value is not None and value not in allowed():
                raise UsageError(f"--{flag}={value}: unknown. Allowed: {', '.join(allowed())}.")
        filled = {f: getattr(self.card, _CARD_VALUES[f]) for f in _CARD_VALUES if getattr(self, f) is None}
        if "warmup_epochs" in filled:
            # A card's warm-up is made for whole runs; a shorter one keeps half of its epochs for the rest.
            filled["warmup_epochs"] = min(filled["warmup_epochs"], self.train_epochs / 2)
        config = dataclasses.replace(self, **filled)
        for flag, (allowed, text) in _RANGES.items():
            value = getattr(config, flag)
            if not (math.isfinite(value) and allowed(value)):
                raise UsageError(f"--{flag}={value}: not allowed. Allowed: {text}.")
        _check_data_dir(config.data_dir)
        return config

    def steps_per_epoch(self, splits):
        """Whole batches in the training images of `splits`."""
        return len(splits.train) // self.batch_size

    def warmup_steps(self, splits):
        """Steps of the warm-up."""
        return round(self.warmup_epochs * self.steps_per_epoch(splits))

    def check_against(self, splits, replicas=1):
        """Raises `UsageError` if the data cannot be trained on as configured, a batch divided among `replicas` devices."""
        if self.batch_size % replicas:
            raise UsageError(
                f"--batch_size={self.batch_size}: does not divide among {replicas} devices. Allowed: multiples of {replicas}."
            )
        if self.batch_size > len(splits.train):
            raise UsageError(
                f"--batch_size={self.batch_size}: more than the training images. Allowed: 1 to {len(splits.train)}."
            )
        if self.warmup_steps(splits) >= self.train_epochs * self.steps_per_epoch(splits):
            raise UsageError(
                f"--warmup_epochs={self.warmup_epochs}: the whole run. "
                f"Allowed: 0 to less than --train_epochs={self.train_epochs}, by a step at least."
            )
        if self.card.initialize and self.batch_size * self.init_batches > len(splits.train):
            allowed = len(splits.train) // self.batch_size
            raise UsageError(
                f"--init_batches={self.init_batches}: more than the training images. "
                f"Allowed with --batch_size={self.batch_size}: 1 to {allowed}."
            )


# Fields that the method card fills in -> the card's attribute.
_CARD_VALUES = {
    "join": "join",
    "base_learning_rate": "learning_rate",
    "warmup_epochs": "warmup_epochs",
    "weight_decay": "weight_decay",
}

_CHOICES = {
    "norm": methods.names,
    "model": models.names,
    "dataset": lambda: DATASETS,
    "join": lambda: tuple(methods.JOINS),
    "schedule": schedules.names,
    "precision": lambda: PRECISIONS,
    "strategy": lambda: STRATEGIES,
    "xla": lambda: XLA,
}

_POSITIVE = (lambda x: x > 0, "a number above 0")
_NOT_NEGATIVE = (lambda x: x >= 0, "0 or more")
_SHARE = (lambda x: 0 <= x < 1, "at least 0 and less than 1")
_RANGES = {
    "batch_size": _POSITIVE,
    "train_epochs": _POSITIVE,
    "base_learning_rate": _POSITIVE,
    "warmup_epochs": _NOT_NEGATIVE,
    "momentum": _SHARE,
    "weight_decay": _NOT_NEGATIVE,
    "label_smoothing": _SHARE,
    "dropout": _SHARE,
    "init_batches": _POSITIVE,
    "virtual_devices": (lambda x: x == 0 or 2 <= x <= 64, "2 to 64, or 0 for none"),
    "clip_norm": _NOT_NEGATIVE,
    "seed": (lambda x: 0 <= x < 2**32, "0 to 2^32 - 1"),
}


def _check_data_dir(data_dir):
    if data_dir is None:
        return
    if not os.path.isdir(data_dir):
        raise UsageError(f"--data_dir={data_dir}: no such folder. Leave it out to train on the embedded digits.")
    raise UsageError(
        f"--data_dir={data_dir}: this version reads no folder. Leave it out to train on the embedded digits."
    )
