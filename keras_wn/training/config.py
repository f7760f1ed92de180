"""What a training run is asked to do, checked before anything is written."""

import dataclasses
import math
import os

from keras_wn import methods, models
from keras_wn.training import schedules
from keras_wn.training.errors import UsageError

DATASETS = ("digits", "imagenet", "cifar10", "cifar100")
STRATEGIES = ("auto", "none", "mirrored", "multi_worker", "tpu", "data_parallel")
XLA = ("auto", "on", "off")
AUGMENTS = ("paper", "standard")
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
        dataset: Name of the data set; None for ImageNet with a `data_dir`, for the embedded digits without.
        data_dir: Folder that holds the data set; None for the embedded digits, and for TFDS' own folder with CIFAR.
        image_size: Height and width; None for the data set's: 224 of ImageNet, 32 of the others.
        augment: What training images go through: `paper` or `standard`.
        max_corrupt: Images that cannot be decoded and are skipped before a run ends with an error.
        use_synthetic_data: Random images from memory, to measure speed.
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
        worker_timeout: Seconds to wait for the other processes of `multi_worker`.
        xla: Whether the step is compiled by XLA.
        clip_norm: Bound of the global norm of the whole batch's gradient; 0 for none.
        agc: Adaptive gradient clipping's bound of a unit's gradient by its weight's norm; 0 for none.
        accumulation: Batches whose gradients an update of the weights averages.
        steps_per_loop: Steps that run without a return to Python.
        ema: Momentum of an average of the weights that is evaluated and saved in their place; 0 for none.
        deterministic: Operations that give the same bits in every run, on GPUs too.
        checkpoint_steps: Steps between two checkpoints within an epoch.
        profile_steps: First and last step of a TensorBoard profile as `a,b`; None for none.
        seed: Seed of the initial weights, the data order and dropout.
        dry_run: Two steps only, then all result files.
    """

    norm: str = "wn_trelu"
    model: str = "resnet50"
    dataset: str | None = None
    data_dir: str | None = None
    image_size: int | None = None
    augment: str = "standard"
    max_corrupt: int = 100
    use_synthetic_data: bool = False
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
    worker_timeout: int = 300
    xla: str = "auto"
    clip_norm: float = 0.0
    agc: float = 0.0
    accumulation: int = 1
    steps_per_loop: int = 1
    ema: float = 0.0
    deterministic: bool = False
    checkpoint_steps: int = 500
    profile_steps: str | None = None
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
        if self.dataset is None:
            return dataclasses.replace(self, dataset="imagenet" if self.data_dir is not None else "digits").resolved()
        for flag, allowed in _CHOICES.items():
            value = getattr(self, flag)
            if value is not None and value not in allowed():
                raise UsageError(f"--{flag}={value}: unknown. Allowed: {', '.join(allowed())}.")
        config = self
        if self.image_size is None:
            config = dataclasses.replace(self, image_size=_IMAGE_SIZES.get(self.dataset, 32))
        filled = {f: getattr(self.card, _CARD_VALUES[f]) for f in _CARD_VALUES if getattr(self, f) is None}
        if "warmup_epochs" in filled:
            # A card's warm-up is made for whole runs; a shorter one keeps half of its epochs for the rest.
            filled["warmup_epochs"] = min(filled["warmup_epochs"], self.train_epochs / 2)
        config = dataclasses.replace(config, **filled)
        for flag, (allowed, text) in _RANGES.items():
            value = getattr(config, flag)
            if not (math.isfinite(value) and allowed(value)):
                raise UsageError(f"--{flag}={value}: not allowed. Allowed: {text}.")
        config._check_together()
        return config

    def profile_range(self):
        """First and last step to profile, as Keras' TensorBoard callback takes them; 0 for none."""
        if self.profile_steps is None:
            return 0
        try:
            first, last = (int(part) for part in self.profile_steps.split(","))
        except ValueError:
            first, last = 0, 0
        if not 0 < first <= last:
            raise UsageError(
                f"--profile_steps={self.profile_steps}: not allowed. Allowed: two steps as 10,20, the first from 1."
            )
        return first, last

    def _check_together(self):
        self.profile_range()
        if self.deterministic and self.xla == "on":
            raise UsageError("--deterministic with --xla=on: XLA does not promise the same bits. Allowed: one of them.")
        if self.dataset.startswith("cifar") and self.image_size != 32:
            raise UsageError(
                f"--image_size={self.image_size} with --dataset={self.dataset}: its images are of 32. Allowed: 32."
            )
        if self.dataset == "digits" and self.data_dir is not None:
            raise UsageError(
                f"--data_dir={self.data_dir} with --dataset=digits: they are embedded. Allowed: one of them."
            )
        if self.data_dir is not None and not os.path.isdir(self.data_dir):
            raise UsageError(
                f"--data_dir={self.data_dir}: no such folder. Allowed: a folder that holds --dataset={self.dataset}."
            )

    def steps_per_epoch(self, splits):
        """Whole batches in the training images of `splits`; two of a dry run."""
        return DRY_RUN_STEPS if self.dry_run else len(splits.train) // self.batch_size

    @property
    def epochs(self):
        """Passes over the training images; one of a dry run."""
        return 1 if self.dry_run else self.train_epochs

    @property
    def images_per_update(self):
        """Images whose gradients an update of the weights averages."""
        return self.batch_size * self.accumulation

    def updates(self, splits, epochs):
        """Updates of the weights in a number of epochs, which need not be whole."""
        return round(epochs * (len(splits.train) // self.batch_size) / self.accumulation)

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
        steps = self.steps_per_epoch(splits)
        if steps % self.steps_per_loop:
            raise UsageError(
                f"--steps_per_loop={self.steps_per_loop}: does not divide an epoch. Allowed: divisors of {steps}."
            )
        if self.updates(splits, self.warmup_epochs) >= self.updates(splits, self.train_epochs):
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

# Height and width of images where it is not 32.
_IMAGE_SIZES = {"imagenet": 224}

_CHOICES = {
    "norm": methods.names,
    "model": models.names,
    "dataset": lambda: DATASETS,
    "augment": lambda: AUGMENTS,
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
    "worker_timeout": _POSITIVE,
    "clip_norm": _NOT_NEGATIVE,
    "agc": _NOT_NEGATIVE,
    "accumulation": _POSITIVE,
    "steps_per_loop": _POSITIVE,
    "ema": _SHARE,
    "checkpoint_steps": _POSITIVE,
    "max_corrupt": _NOT_NEGATIVE,
    "image_size": (lambda x: x >= 8, "8 or more"),
    "seed": (lambda x: 0 <= x < 2**32, "0 to 2^32 - 1"),
}
