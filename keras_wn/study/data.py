"""Draws the training images and wrong labels of a trial by its seed, and batches the splits."""

import dataclasses
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from keras_wn.data import detect
from keras_wn.data.splits import Examples, Splits
from keras_wn.study.plan import SPLITS
from keras_wn.study.protocol import Protocol
from keras_wn.training.errors import UsageError

# All batches of an evaluation have one size, so that its step is compiled once.
_EVALUATED_AT_ONCE = 256
# Batches of larger splits are not kept in memory.
_LARGEST_KEPT = 4096


def load(protocol: Protocol) -> Splits:
    """The whole data set of a protocol.

    Args:
        protocol: `Protocol`.

    Returns:
        `Splits`.

    Raises:
        UsageError: If it is missing, or does not fit the protocol.
    """
    splits = detect.load(protocol.dataset, protocol.data_dir, protocol.image_size)
    if protocol.train_size is not None or protocol.label_noise:
        if not isinstance(splits.train, Examples):
            raise UsageError(
                f"--train_size={protocol.train_size}, --label_noise={protocol.label_noise} with "
                f"--dataset={protocol.dataset}: only where the images are in memory. "
                "Allowed: with any but imagenet."
            )
        largest = len(splits.train) - splits.classes
        if protocol.train_size is not None and not splits.classes <= protocol.train_size <= largest:
            raise UsageError(
                f"--train_size={protocol.train_size}: not allowed. Allowed with "
                f"--dataset={protocol.dataset}: {splits.classes} to {largest}, or none for all."
            )
    return splits


class Draw:
    """The data that a seed draws, ready for training and evaluation.

    Args:
        splits: `Splits` of the whole data set.
        protocol: `Protocol`.
        seed: Integer.

    Attributes:
        splits: `Splits` with the training images and wrong labels that the seed draws.
        evaluation_batches: Dict from a split to its batches of images, labels and weights.
    """

    def __init__(self, splits: Splits, protocol: Protocol, seed: int):
        self.splits = drawn(splits, protocol, seed)
        self.evaluation_batches = {
            name: evaluation_batches(getattr(self.splits, name), splits.classes) for name in SPLITS
        }


def evaluation_batches(split: Any, classes: int) -> Any:
    """A split's batches of images, labels and weights, all of one size."""
    batches = split.evaluation_batches(_EVALUATED_AT_ONCE, classes, replicas=_EVALUATED_AT_ONCE)
    # Making them again would take longer than the evaluation of a small network.
    return batches if len(split) > _LARGEST_KEPT else list(batches)


def drawn(splits: Splits, protocol: Protocol, seed: int) -> Splits:
    """The data set with the number of training images and wrong labels that the protocol says.

    Args:
        splits: `Splits`.
        protocol: `Protocol`.
        seed: Integer. The same seed draws the same for every method.

    Returns:
        `Splits`. Validation and test are as they were.
    """
    train = splits.train
    if protocol.train_size is not None:
        # Stratified, so that no class is missing from a small draw.
        chosen, _ = train_test_split(
            np.arange(len(train)),
            train_size=protocol.train_size,
            stratify=train.labels,
            random_state=seed,
        )
        train = dataclasses.replace(train, images=train.images[chosen], labels=train.labels[chosen])
    if protocol.label_noise:
        train = dataclasses.replace(
            train, labels=with_noise(train.labels, splits.classes, protocol.label_noise, seed)
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
