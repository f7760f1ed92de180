"""The data of a trial: what the protocol takes of a data set, drawn by the trial's seed."""

import dataclasses

import numpy as np
from sklearn.model_selection import train_test_split

from keras_wn.data import detect
from keras_wn.data.splits import Examples
from keras_wn.training.errors import UsageError


def load(protocol):
    """The data set of a protocol, whole.

    Args:
        protocol: `Protocol`.

    Returns:
        `Splits`.

    Raises:
        UsageError: If it is not there, or not what the protocol asks for.
    """
    splits = detect.load(protocol.dataset, protocol.data_dir, protocol.image_size)
    if protocol.train_size is not None or protocol.label_noise:
        if not isinstance(splits.train, Examples):
            raise UsageError(
                f"--train_size={protocol.train_size}, --label_noise={protocol.label_noise} with --dataset={protocol.dataset}: "
                "only where the images are in memory. Allowed: with digits, cifar10, cifar100."
            )
        largest = len(splits.train) - splits.classes
        if protocol.train_size is not None and not splits.classes <= protocol.train_size <= largest:
            raise UsageError(
                f"--train_size={protocol.train_size}: not allowed. Allowed with --dataset={protocol.dataset}: "
                f"{splits.classes} to {largest}, or none for all."
            )
    return splits


def drawn(splits, protocol, seed):
    """The data set with as many training images, and as many wrong labels among them, as the protocol says.

    Args:
        splits: `Splits`.
        protocol: `Protocol`.
        seed: Integer. The same seed draws the same for every method.

    Returns:
        `Splits`; validation and test are as they were.
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


def with_noise(labels, classes, share, seed):
    """Labels of which a share is replaced by other classes', each of them as likely.

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
