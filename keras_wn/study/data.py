"""Draws the training images and wrong labels of a trial by its seed, and batches the splits."""

import dataclasses
import math
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from keras_wn.data import datasets, digits
from keras_wn.data.splits import Examples, Splits
from keras_wn.errors import UsageError
from keras_wn.study.protocol import Protocol

# Digits to validate and to test on: enough to test that they can tell methods apart.
HELD_OUT_DIGITS = (250, 1000)
# All batches of an evaluation have one size, so that its step is compiled once.
_EVALUATED_AT_ONCE = 256
# Batches of larger splits, in bytes, are not kept in memory.
_LARGEST_KEPT = 2**28


def load(protocol: Protocol) -> Splits:
    """The whole data set of a protocol.

    Args:
        protocol: `Protocol`.

    Returns:
        `Splits`.

    Raises:
        UsageError: If it is missing, or does not fit the protocol.
    """
    if protocol.dataset == "digits" and protocol.data_dir is None:
        splits = digits.load(protocol.image_size, HELD_OUT_DIGITS)
    else:
        splits = datasets.load(
            protocol.dataset, protocol.data_dir, protocol.image_size, protocol.augment
        )
    in_memory = isinstance(splits.train, Examples)
    if (protocol.train_size is not None or protocol.label_noise) and not in_memory:
        raise UsageError(
            f"--train_size={protocol.train_size}, --label_noise={protocol.label_noise} with "
            f"--dataset={protocol.dataset}: only where the images are in memory. "
            "Allowed: with any but imagenet."
        )
    sizes = [size for size, _, _ in protocol.of("work").points]
    largest = len(splits.train) - splits.classes
    for size in (protocol.train_size, *sizes):
        if size not in (None, len(splits.train)) and not splits.classes <= size <= largest:
            raise UsageError(
                f"--train_size={size}: not allowed. Allowed with --dataset={protocol.dataset}: "
                f"{splits.classes} to {largest}, or none for all."
            )
    return splits


class Data:
    """The data set of a protocol, from which each trial draws its training images.

    Args:
        protocol: `Protocol`.

    Attributes:
        splits: `Splits` of the whole data set.

    Raises:
        UsageError: If the data are missing, or do not fit the protocol.
    """

    def __init__(self, protocol: Protocol):
        self._protocol = protocol
        self.splits = load(protocol)
        self._held_out = {
            name: evaluation_batches(getattr(self.splits, name), self.splits.classes)
            for name in ("validation", "test")
        }

    def draw(self, seed: int, train_size: int | None) -> "Draw":
        """The data of a trial."""
        splits = drawn(self.splits, train_size, self._protocol.label_noise, seed)
        train = evaluation_batches(splits.train, splits.classes)
        return Draw(splits, {"train": train, **self._held_out})


@dataclasses.dataclass(frozen=True)
class Draw:
    """The data that a seed draws, ready for training and evaluation.

    Attributes:
        splits: `Splits` with the training images and wrong labels that the seed draws.
        evaluation_batches: Dict from a split to its batches of images, labels and weights.
    """

    splits: Splits
    evaluation_batches: dict[str, Any]


def evaluation_batches(split: Any, classes: int) -> Any:
    """A split's batches of images, labels and weights, all of one size."""
    batches = split.evaluation_batches(_EVALUATED_AT_ONCE, classes, device_count=_EVALUATED_AT_ONCE)
    # Making them again would take longer than the evaluation of a small network.
    size = 4 * len(split) * math.prod(split.image_shape)
    return batches if size > _LARGEST_KEPT else list(batches)


def drawn(splits: Splits, train_size: int | None, label_noise: float, seed: int) -> Splits:
    """The data set with a number of training images, and with wrong labels.

    Args:
        splits: `Splits`.
        train_size: Training images. None for all.
        label_noise: Share of the training labels that are wrong.
        seed: Integer. The same seed draws the same for every method.

    Returns:
        `Splits`. Validation and test are as they were.
    """
    train = splits.train
    if train_size not in (None, len(train)):
        # Stratified, so that no class is missing from a small draw.
        chosen, _ = train_test_split(
            np.arange(len(train)),
            train_size=train_size,
            stratify=train.labels,
            random_state=seed,
        )
        train = dataclasses.replace(train, images=train.images[chosen], labels=train.labels[chosen])
    if label_noise:
        train = dataclasses.replace(
            train, labels=with_noise(train.labels, splits.classes, label_noise, seed)
        )
    return dataclasses.replace(splits, train=train)


def with_noise(labels: np.ndarray, classes: int, share: float, seed: int) -> np.ndarray:
    """Labels of which a share is replaced by those of other classes, each as likely.

    Args:
        labels: Integer array.
        classes: Number of classes.
        share: Float in [0, 1).
        seed: Integer.

    Returns:
        Integer array.

    Example:

    >>> import numpy as np
    >>> noisy = with_noise(np.zeros(10, int), classes=3, share=0.2, seed=0)
    >>> int((noisy != 0).sum())
    2
    """
    generator = np.random.default_rng(seed)
    wrong = generator.permutation(len(labels))[: round(share * len(labels))]
    noisy = labels.copy()
    noisy[wrong] = (labels[wrong] + generator.integers(1, classes, len(wrong))) % classes
    return noisy
