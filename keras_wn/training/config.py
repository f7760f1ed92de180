"""Holds the flags of a training run, and checks them before anything is written.

A field of `TrainConfig` is a flag: its name, default, help and allowed values are stated here and
nowhere else.
"""

import dataclasses
import os
from typing import Any

from keras_wn import methods, models
from keras_wn.data import datasets
from keras_wn.data.reading import MAX_PIXELS
from keras_wn.data.splits import Examples
from keras_wn.errors import UsageError
from keras_wn.methods import ingredients
from keras_wn.training import flag_fields, schedules
from keras_wn.training.flag_fields import NOT_NEGATIVE, POSITIVE, SHARE, flag
from keras_wn.training.optimizer import DECAY_ON

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# The statistics of more images have almost no noise.
_LARGEST_NOISE = 2**20
# `base_learning_rate` is for this batch size, and scaled in proportion to the batch.
BASE_BATCH_SIZE = 256
DRY_RUN_UPDATES = 2
_FILES = (
    lambda c: c.dataset == "imagenet" and not c.use_synthetic_data,
    "with --dataset=imagenet, whose images are in files",
)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The flags of a run. `None` stands for the value of the method's card, set by `resolved`."""

    norm: str = flag("wn_trelu", "Method.", methods.names)
    model: str = flag("resnet50", "Network.", models.names)
    dataset: str | None = flag(
        None,
        "Data set. ImageNet if --data_dir is given, else the embedded digits, if not given.",
        datasets.NAMES,
    )
    data_dir: str | None = flag(
        None,
        "Folder that holds the data set. TFDS' own if not given. ImageNet needs one. The digits "
        "are embedded, and take none.",
    )
    image_size: int | None = flag(
        None,
        "Height and width of the images. If not given, 224 for ImageNet, 28 for MNIST and the sets "
        "in its format, and 32 for the others.",
        allowed=(lambda x: x >= 8, "8 or more"),
    )
    augment: str = flag(
        "standard", "How training images are cropped and mirrored.", datasets.AUGMENTATIONS
    )
    max_corrupt: int = flag(
        100,
        "Number of images that cannot be decoded and are skipped, by name, before the run ends "
        "with an error.",
        allowed=NOT_NEGATIVE,
        needs=_FILES,
    )
    max_pixels: int = flag(
        MAX_PIXELS,
        "Number of pixels of the largest image that is decoded. A larger one counts as one that "
        "cannot be decoded.",
        allowed=POSITIVE,
        needs=_FILES,
    )
    allow_partial: bool = flag(
        False,
        "Takes, or prepares, a data set with another number of images than was published.",
        needs=(
            lambda c: c.dataset != "digits" and not c.use_synthetic_data,
            "with a data set that was published",
        ),
    )
    use_synthetic_data: bool = flag(False, "Trains on random images from memory, to measure speed.")
    model_dir: str | None = flag(
        None, "Folder for the run's files. A new one under runs/ if not given."
    )
    join: str | None = flag(
        None,
        "Join of residual branch and shortcut. The method's own if not given.",
        tuple(methods.JOINS),
    )
    weights: str | None = flag(
        None,
        "Weights of the convolutions: plain v, wn g v / ||v||, fixed the same with an untrained g, "
        "strict v / ||v||, projected v with filters of constant norm. The method's own if not "
        "given.",
        tuple(ingredients.WEIGHTS),
    )
    center: str | None = flag(
        None,
        "Whether the entries of each filter sum to 0: always, by the formula of the weights; free, "
        "by the start and by the gradients. The method's own if not given.",
        tuple(ingredients.CENTER),
    )
    activation: str | None = flag(
        None, "Activation. The method's own if not given.", tuple(ingredients.ACTIVATIONS)
    )
    classifier: str | None = flag(
        None, "Classifier. The method's own if not given.", tuple(ingredients.CLASSIFIERS)
    )
    schedule: str = flag(
        "polynomial", "Decay of the learning rate after the warm-up.", schedules.names
    )
    batch_size: int = flag(64, "Global batch size.", allowed=POSITIVE)
    train_epochs: int = flag(12, "Number of passes over the training images.", allowed=POSITIVE)
    base_learning_rate: float | None = flag(
        None,
        "Highest learning rate for a batch of 256, scaled in proportion to the batch. The "
        "method's own if not given.",
        allowed=POSITIVE,
    )
    warmup_epochs: float | None = flag(
        None, "Epochs of linear warm-up. The method's own if not given.", allowed=NOT_NEGATIVE
    )
    momentum: float = flag(0.9, "Momentum of SGD.", allowed=SHARE)
    weight_decay: float | None = flag(
        None,
        "L2 coefficient of the variables that the method decays. The method's own if not given.",
        allowed=NOT_NEGATIVE,
    )
    decay_on: str | None = flag(
        None,
        "Variables that decay: v is the kernels as they are stored, v_and_g those and the gains, "
        "w the weights that the layers compute with, which are the gains of normalized kernels and "
        "all other kernels. The method's own if not given.",
        tuple(DECAY_ON),
    )
    label_smoothing: float = flag(
        0.0, "Share of a label that is spread over all classes.", allowed=SHARE
    )
    mixup: float = flag(
        0.0,
        "Parameter of the beta distribution by which each training batch is mixed with itself in "
        "another order. 0 mixes nothing.",
        allowed=NOT_NEGATIVE,
    )
    dropout: float = flag(0.0, "Dropout rate before the classifier.", allowed=SHARE)
    branch_scale: float | None = flag(
        None,
        "Scale of the last convolution of each branch at the start; 0 lets blocks start as the "
        "identity. The method's own if not given.",
        allowed=NOT_NEGATIVE,
    )
    branch_scalar: bool | None = flag(
        None,
        "Whether a trained scalar ends each branch, which then starts at --branch_scale. The "
        "method's own if not given.",
    )
    groups: int | None = flag(
        None,
        "Number of groups of channels of a group normalization, at most half of the layer's "
        "channels. The method's own if not given.",
        allowed=POSITIVE,
    )
    statistics_batch: int | None = flag(
        None,
        "Number of images whose statistics batch normalization takes: fewer than a batch divide it "
        "into ghost batches, and with more than a batch, other training images join the batch for "
        "their statistics alone. 0, the default, takes those of a batch.",
        allowed=(lambda x: x == 0 or x >= 2, "2 or more, or 0 for those of a batch"),
    )
    noise: int = flag(
        0,
        "Adds the noise of the mean and standard deviation of a batch of this size after every "
        "convolution in training. 0 adds none.",
        allowed=(
            lambda x: x == 0 or 2 <= x <= _LARGEST_NOISE,
            f"2 to {_LARGEST_NOISE}, or 0 for none",
        ),
    )
    init_batches: int = flag(
        4,
        "Number of batches that a data-dependent start sees, put together into one.",
        allowed=POSITIVE,
        needs=(lambda c: c.method.initialize is not None, "with a --norm that starts from data"),
    )
    precision: str = flag("float32", "Keras dtype policy.", PRECISIONS)
    strategy: str = flag(
        "auto",
        "Devices. mirrored takes all GPUs or the virtual devices, and auto takes it if there are "
        "several; multi_worker reads TF_CONFIG; tpu is TensorFlow's, and unverified; data_parallel "
        "is for KERAS_BACKEND=jax.",
        ("auto", "none", "mirrored", "multi_worker", "tpu", "data_parallel"),
    )
    virtual_devices: int = flag(
        0,
        "Number of CPU devices to make out of one, to try distribution without accelerators.",
        allowed=(lambda x: x == 0 or 2 <= x <= 64, "2 to 64, or 0 for none"),
    )
    worker_timeout: int = flag(
        300,
        "Seconds to wait for the other processes of --strategy=multi_worker.",
        allowed=POSITIVE,
        needs=(lambda c: c.strategy == "multi_worker", "with --strategy=multi_worker"),
    )
    xla: str = flag(
        "auto",
        "Whether XLA compiles the step. auto turns it on for GPUs, and off on a CPU, where it is "
        "slower.",
        ("auto", "on", "off"),
    )
    clip_norm: float = flag(
        0.0,
        "Bound of the global norm of the whole batch's gradient. 0 sets none.",
        allowed=NOT_NEGATIVE,
    )
    agc: float | None = flag(
        None,
        "Adaptive gradient clipping: the bound of a unit's gradient as a share of its weight's "
        "norm. 0 sets none. The method's own if not given.",
        allowed=NOT_NEGATIVE,
    )
    accumulation: int = flag(
        1, "Number of batches whose gradients an update of the weights averages.", allowed=POSITIVE
    )
    steps_per_loop: int = flag(
        1, "Number of steps that run without a return to Python.", allowed=POSITIVE
    )
    ema: float = flag(
        0.0,
        "Momentum of an average of the weights that is evaluated and saved in their place. 0 "
        "keeps none.",
        allowed=SHARE,
    )
    deterministic: bool = flag(
        False, "Uses operations that give the same bits in every run, on GPUs too."
    )
    checkpoint_steps: int = flag(
        500,
        "Steps between two checkpoints within an epoch. Another one follows each epoch.",
        allowed=POSITIVE,
    )
    profile_steps: str | None = flag(
        None, "First and last step of a TensorBoard profile, as 10,20. None if not given."
    )
    seed: int = flag(
        0,
        "Seed of the initial weights, the data order and dropout.",
        allowed=(lambda x: 0 <= x < 2**32, "0 to 2^32 - 1"),
    )
    dry_run: bool = flag(False, "Updates the weights only twice, then writes all result files.")

    @property
    def method(self) -> methods.MethodCard:
        """The card of the method that `norm` names, with the options of this configuration."""
        options = {name: getattr(self, name) for name in (*_OPTIONS, *_INGREDIENTS)}
        options = {name: value for name, value in options.items() if value is not None}
        return dataclasses.replace(methods.get(self.norm), noise=self.noise, **options)

    def resolved(self) -> "TrainConfig":
        """This configuration with every value in place.

        Raises:
            UsageError: For the first value that is not allowed.
        """
        if self.dataset is None:
            return dataclasses.replace(
                self, dataset="imagenet" if self.data_dir is not None else "digits"
            ).resolved()
        flag_fields.check_choices(self)
        flag_fields.check_ranges(self)
        self._check_composition()
        config = self
        if self.image_size is None:
            config = dataclasses.replace(self, image_size=datasets.DATASETS[self.dataset].sizes[0])
        filled = {
            f: getattr(self.method, _CARD_VALUES[f])
            for f in _CARD_VALUES
            if getattr(self, f) is None
        }
        if "warmup_epochs" in filled:
            # A card's warm-up is made for whole runs. A shorter run keeps half of its epochs for
            # the rest.
            filled["warmup_epochs"] = min(filled["warmup_epochs"], self.train_epochs / 2)
        config = dataclasses.replace(config, **filled)
        config._check_together()
        return config

    def profile_range(self) -> tuple[int, int]:
        """First and last step to profile, counted from 1; two zeros for no profile."""
        if self.profile_steps is None:
            return 0, 0
        try:
            first, last = (int(part) for part in self.profile_steps.split(","))
        except ValueError:
            first, last = 0, 0
        if not 0 < first <= last:
            raise UsageError(
                f"--profile_steps={self.profile_steps}: not allowed. Allowed: two steps as 10,20, "
                "the first from 1."
            )
        return first, last

    def _check_composition(self):
        for name in _OPTIONS:
            # Any method may have a scalar that holds the scale.
            is_held = name == "branch_scale" and self.branch_scalar
            missing = getattr(methods.get(self.norm), name) is None and not is_held
            if getattr(self, name) is not None and missing:
                having = [m for m in methods.names() if getattr(methods.get(m), name) is not None]
                raise UsageError(
                    f"--{name}={getattr(self, name)} with --norm={self.norm}: the method has no "
                    f"{name}. Allowed with: {', '.join(having)}."
                )
        try:
            _ = self.method
        except methods.CompositionError as error:
            raise self.refusal(error) from None

    def refusal(self, error: methods.CompositionError) -> UsageError:
        """The error for ingredients that do not go together, in terms of the flags."""
        return UsageError(
            f"--{error.field}={error.value} with --norm={self.norm}: {error.reason}. "
            f"Allowed: {error.allowed}."
        )

    def _check_together(self):
        self.profile_range()
        if self.deterministic and self.xla == "on":
            raise UsageError(
                "--deterministic with --xla=on: XLA does not promise the same bits. Allowed: one "
                "of them."
            )
        data = datasets.DATASETS[self.dataset]
        if self.image_size not in data.sizes and not data.is_resized:
            raise UsageError(
                f"--image_size={self.image_size} with --dataset={self.dataset}: its images are of "
                f"{data.sizes[0]}. Allowed: {', '.join(map(str, data.sizes))}."
            )
        if self.dataset == "digits" and self.data_dir is not None:
            raise UsageError(
                f"--data_dir={self.data_dir} with --dataset=digits: they are embedded. Allowed: "
                "one of them."
            )
        if self.use_synthetic_data and self.data_dir is not None:
            raise UsageError(
                f"--data_dir={self.data_dir} with --use_synthetic_data: random images come from no "
                "folder. Allowed: one of them."
            )
        if self.augment != "standard" and not data.is_augmented:
            augmented = [name for name, d in datasets.DATASETS.items() if d.is_augmented]
            raise UsageError(
                f"--augment={self.augment} with --dataset={self.dataset}: its images are neither "
                f"cropped nor mirrored. Allowed with: {', '.join(augmented)}."
            )
        if self.data_dir is not None and not os.path.isdir(self.data_dir):
            raise UsageError(
                f"--data_dir={self.data_dir}: no such folder. Allowed: a folder that holds "
                f"--dataset={self.dataset}."
            )

    def steps_per_epoch(self, splits: Any) -> int:
        """Whole batches in the training images of `splits`; a dry run takes two updates'."""
        if self.dry_run:
            return DRY_RUN_UPDATES * self.accumulation
        return len(splits.train) // self.batch_size

    @property
    def epochs(self) -> int:
        """Passes over the training images; a dry run takes one."""
        return 1 if self.dry_run else self.train_epochs

    @property
    def images_per_update(self) -> int:
        """Images whose gradients an update of the weights averages."""
        return self.batch_size * self.accumulation

    @property
    def rows_have_weights(self) -> bool:
        """Whether a batch holds images that serve for its statistics alone."""
        return (self.statistics_batch or 0) > self.batch_size

    @property
    def peak_learning_rate(self) -> float:
        """Highest learning rate of the run, for the images of an update."""
        return self.base_learning_rate * self.images_per_update / BASE_BATCH_SIZE

    def updates(self, splits: Any, epochs: float) -> int:
        """Updates of the weights in a number of epochs, which need not be whole."""
        return round(epochs * (len(splits.train) // self.batch_size) / self.accumulation)

    def check_against(self, splits: Any, device_count: int = 1) -> None:
        """Raises `UsageError` if these data cannot be trained on with this configuration.

        Args:
            splits: `Splits`.
            device_count: Number of devices that a batch is divided among.
        """
        if self.batch_size % device_count:
            raise UsageError(
                f"--batch_size={self.batch_size}: does not divide among {device_count} devices. "
                f"Allowed: multiples of {device_count}."
            )
        if self.batch_size > len(splits.train):
            raise UsageError(
                f"--batch_size={self.batch_size}: must be at most the number of training images. "
                f"Allowed: 1 to {len(splits.train)}."
            )
        if self.statistics_batch:
            self._check_statistics_batch(splits, device_count)
        steps = self.steps_per_epoch(splits)
        if steps % self.steps_per_loop:
            raise UsageError(
                f"--steps_per_loop={self.steps_per_loop}: does not divide an epoch. Allowed: "
                f"divisors of {steps}."
            )
        if self.epochs * steps < self.accumulation:
            raise UsageError(
                f"--accumulation={self.accumulation}: more batches than the {self.epochs * steps} "
                f"of the run, so that the weights are never updated. Allowed: 1 to "
                f"{self.epochs * steps}."
            )
        if self.profile_range()[1] > self.epochs * steps:
            raise UsageError(
                f"--profile_steps={self.profile_steps}: after the end of the run. Allowed: two "
                f"steps of 1 to {self.epochs * steps}."
            )
        # Compared as they are first, because their product with the steps may be infinite.
        is_whole = self.warmup_epochs >= self.train_epochs
        if is_whole or self.updates(splits, self.warmup_epochs) >= self.updates(
            splits, self.train_epochs
        ):
            raise UsageError(
                f"--warmup_epochs={self.warmup_epochs}: the whole run. "
                f"Allowed: 0 to less than --train_epochs={self.train_epochs}, by a step at least."
            )
        if self.method.initialize and self.batch_size * self.init_batches > len(splits.train):
            allowed = len(splits.train) // self.batch_size
            raise UsageError(
                f"--init_batches={self.init_batches}: must be at most what the training images "
                "give. "
                f"Allowed with --batch_size={self.batch_size}: 1 to {allowed}."
            )

    def _check_statistics_batch(self, splits, device_count):
        asked, rows = self.statistics_batch, self.batch_size // device_count
        if asked <= rows and rows % asked:
            raise UsageError(
                f"--statistics_batch={asked}: does not divide the {rows} images that a device "
                f"takes. Allowed: divisors of {rows}, or more."
            )
        if asked > rows and (device_count > 1 or not isinstance(splits.train, Examples)):
            raise UsageError(
                f"--statistics_batch={asked}: more than the {rows} images that a device takes are "
                "for one device and images in memory. Allowed: divisors of it."
            )
        if asked > len(splits.train):
            raise UsageError(
                f"--statistics_batch={asked}: must be at most the number of training images. "
                f"Allowed: 2 to {len(splits.train)}."
            )


# Fields that are None in a card whose method has no such choice.
_OPTIONS = ("branch_scale", "groups", "statistics_batch")
# Ingredients of the card. One that is not given stays None, so that runs of versions that did not
# have its flag go on.
_INGREDIENTS = (*("weights", "center", "activation", "branch_scalar", "classifier", "join", "agc"),)
# Fields that the method card fills in, and the card's attributes.
_CARD_VALUES = {
    "join": "join",
    "base_learning_rate": "learning_rate",
    "warmup_epochs": "warmup_epochs",
    "weight_decay": "weight_decay",
    "decay_on": "decay_on",
    "branch_scale": "branch_scale",
    "groups": "groups",
    "statistics_batch": "statistics_batch",
    "agc": "agc",
}
