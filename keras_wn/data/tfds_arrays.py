"""Reads whole data sets that TensorFlow Datasets prepared, as arrays."""

import pathlib

import numpy as np

from keras_wn.data import reading
from keras_wn.errors import UsageError

_READ_AT_ONCE = 5000


def read(
    name: str,
    folder: pathlib.Path | None,
    other_way: str,
    shape: tuple[int, int, int],
    labels: tuple[int, int],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and labels of a data set's training split, and those of its test split.

    Args:
        name: Name of the data set in TensorFlow Datasets.
        folder: Folder of prepared data sets. None: that of TensorFlow Datasets. Nothing is
            downloaded.
        other_way: What else a user can do to have the data, an imperative for messages.
        shape: Shape of an image.
        labels: The least and the largest label.

    Returns:
        List of two pairs of a uint8 and an int32 array.

    Raises:
        UsageError: If the data set is missing or damaged, or TensorFlow Datasets is not
            installed.
    """
    try:
        import tensorflow as tf
        import tensorflow_datasets as tfds
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--data_dir={folder}: {name} is not here, and {error.name} to look for it in other "
            f"forms is not installed. Allowed: {other_way}"
        ) from error
    where = pathlib.Path(tfds.core.constants.DATA_DIR if folder is None else folder)
    how = f"Prepare it with: tfds build {name} --data_dir={reading.printable(where)}. "
    how += f"Or {other_way}"
    with reading.prepared_by_tfds(where, where / name, how):
        try:
            parts = tfds.load(name, split=["train", "test"], data_dir=folder, download=False)
        except (
            AssertionError,
            tfds.core.DatasetNotFoundError,
            FileNotFoundError,
            tf.errors.NotFoundError,
        ) as error:
            raise reading.fault(where, f"{name} is not prepared. {how}") from error
        return [_arrays(part, shape, labels) for part in parts]


def _arrays(examples, shape, allowed):
    """Images and labels of a whole data set. Raises `ValueError` for others than allowed."""
    # TFDS' own batches pad smaller images with black.
    batches = list(examples.batch(_READ_AT_ONCE).as_numpy_iterator())
    images, labels = (
        np.concatenate([batch[key] for batch in batches]) for key in ("image", "label")
    )
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        raise ValueError(f"images are {images.dtype} of shape {images.shape[1:]} and not {shape}")
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels are {labels.dtype} of shape {labels.shape[1:]} and not integers")
    if labels.min() < allowed[0] or labels.max() > allowed[1]:
        raise ValueError(
            f"labels are {labels.min()} to {labels.max()} and not {allowed[0]} to {allowed[1]}"
        )
    return images, labels.astype("int32")
