"""CIFAR-10 and CIFAR-100 as TensorFlow Datasets prepared them."""

import functools
import pathlib

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from sklearn.model_selection import train_test_split

from keras_wn.data.splits import Examples, Splits
from keras_wn.training.errors import UsageError

NAMES = ("cifar10", "cifar100")
AUGMENTATIONS = (None, "standard", "paper")
# Mean and standard deviation of the 50,000 training images, RGB, 0 to 255.
STATISTICS = {
    "cifar10": ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7)),
    "cifar100": ((129.3, 124.1, 112.4), (68.2, 65.4, 70.4)),
}
_HELD_OUT = 0.1  # 5,000 of 50,000 training images.
# The split is part of the data set: it never changes with a run's seed.
_SPLIT_SEED = 0
_PAPER_SIZE = 28
_PADDING = 4
_READ_AT_ONCE = 5000


def load(name, data_dir=None, augment="standard"):
    """CIFAR with 45,000 images to train, 5,000 of its training images to validate, in equal shares, and 10,000 to test.

    Args:
        name: `"cifar10"` or `"cifar100"`.
        data_dir: Folder of TFDS, or None for TFDS' own. Nothing is downloaded.
        augment: `"standard"`: padded by 4 with the mean color, a random 32x32 window, mirrored half of the time. `"paper"`: a
            random 28x28 window, mirrored half of the time; evaluation shows the central 28x28. None: images as they are.

    Returns:
        `Splits`.

    Raises:
        UsageError: If the set is not prepared.
    """
    if name not in NAMES:
        raise UsageError(f"--dataset={name}: no CIFAR. Allowed: {', '.join(NAMES)}.")
    if augment not in AUGMENTATIONS:
        raise UsageError(f"--augment={augment}: unknown. Allowed: standard, paper.")
    folder = data_dir if data_dir is None else pathlib.Path(data_dir)
    try:
        parts = tfds.load(
            name, split=["train", "test"], data_dir=folder, batch_size=_READ_AT_ONCE, download=False
        )
    except (
        AssertionError,
        tfds.core.DatasetNotFoundError,
        FileNotFoundError,
        tf.errors.NotFoundError,
    ) as error:
        where = tfds.core.constants.DATA_DIR if folder is None else folder
        raise UsageError(
            f"--data_dir={where}: {name} is not prepared. Prepare it with: tfds build {name} --data_dir={where}"
        ) from error
    train, test = (_arrays(part) for part in parts)
    size = _PAPER_SIZE if augment == "paper" else 32
    prepare = functools.partial(_prepare, statistics=STATISTICS[name], size=size)
    change = functools.partial(_augment, statistics=STATISTICS[name], size=size, augment=augment)
    kept, held_out = _hold_out(train[1])
    parts = [
        [array[rows] for array in part]
        for part, rows in ((train, kept), (train, held_out), (test, slice(None)))
    ]
    return Splits(
        name,
        *(Examples(*part, change, prepare) for part in parts),
        classes=10 if name == "cifar10" else 100,
    )


def _arrays(batches):
    """Images and labels of a whole data set."""
    batches = list(batches.as_numpy_iterator())
    images, labels = (
        np.concatenate([batch[key] for batch in batches]) for key in ("image", "label")
    )
    return images, labels.astype("int32")


def _hold_out(labels):
    indices = np.arange(len(labels))
    count = max(1, round(_HELD_OUT * len(labels)))
    # A set too small to give each class its share, as in tests, is split without regard to them.
    shares = labels if len(labels) >= 5000 else None
    kept, held_out = train_test_split(
        indices, test_size=count, stratify=shares, random_state=_SPLIT_SEED
    )
    return np.sort(kept), np.sort(held_out)


def _prepare(images, statistics, size):
    margin = (images.shape[1] - size) // 2
    return _standardized(images[:, margin : margin + size, margin : margin + size], statistics)


def _augment(images, seed, numbers, statistics, size, augment):
    if augment is None:
        return _prepare(images, statistics, size)
    padding = _PADDING if augment == "standard" else 0
    images = tf.pad(
        _standardized(images, statistics), [[0, 0], [padding, padding], [padding, padding], [0, 0]]
    )

    def draws(number):
        return tf.random.stateless_uniform((3,), tf.stack([tf.constant(seed, tf.int64), number]))

    drawn = tf.map_fn(draws, numbers, fn_output_signature=tf.float32)
    offsets = tf.cast(drawn[:, :2] * (images.shape[1] - size + 1), tf.int32)
    window = tf.range(size)
    images = tf.gather(images, offsets[:, :1] + window, axis=1, batch_dims=1)
    # A mirror image is the same window's columns, from the right.
    columns = tf.where(drawn[:, 2:] < 0.5, window[::-1], window)
    return tf.gather(images, offsets[:, 1:] + columns, axis=2, batch_dims=1)


def _standardized(images, statistics):
    mean, std = statistics
    return (tf.cast(images, "float32") - tf.constant(mean)) / tf.constant(std)
