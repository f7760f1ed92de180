"""Reads whole data sets that TensorFlow Datasets prepared, as arrays."""

import pathlib

import numpy as np

from keras_wn.training.errors import UsageError

_READ_AT_ONCE = 5000


def read(
    name: str, folder: pathlib.Path | None, other_way: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and labels of a data set's training split, and those of its test split.

    Args:
        name: Name of the data set in TensorFlow Datasets.
        folder: Folder of prepared data sets. None: that of TensorFlow Datasets. Nothing is
            downloaded.
        other_way: What else a user can do to have the data, an imperative for messages.

    Returns:
        List of two pairs of a uint8 and an int32 array.

    Raises:
        UsageError: If the data set is not there, or TensorFlow Datasets is not installed.
    """
    try:
        import tensorflow as tf
        import tensorflow_datasets as tfds
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--data_dir={folder}: {name} is not here, and {error.name} to look for it in other "
            f"forms is not installed. Allowed: {other_way}"
        ) from error
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
            f"--data_dir={where}: {name} is not prepared. Prepare it with: "
            f"tfds build {name} --data_dir={where}. Or {other_way}"
        ) from error
    return [_arrays(part) for part in parts]


def _arrays(batches):
    """Images and labels of a whole data set."""
    batches = list(batches.as_numpy_iterator())
    images, labels = (
        np.concatenate([batch[key] for batch in batches]) for key in ("image", "label")
    )
    return images, labels.astype("int32")
