"""Reads CIFAR-10 and CIFAR-100, from their authors' binary files or from TensorFlow Datasets."""

import dataclasses
import functools
import os
import pathlib

import numpy as np

from keras_wn.data import digest, partial, reading, tfds_arrays
from keras_wn.data.hold_out import hold_out
from keras_wn.data.splits import Examples, Splits
from keras_wn.errors import UsageError

AUGMENTATIONS = (None, "standard", "paper")
SIZE = 32
_PAPER_SIZE = 28
_PADDING = 4


@dataclasses.dataclass(frozen=True)
class _Set:
    """Describes a data set and the authors' binary files of it.

    Attributes:
        title: Its name in texts.
        classes: Number of classes.
        mean, std: Mean and standard deviation of the 50,000 training images, RGB, 0 to 255.
        archive: Name of the authors' archive for C programs.
        folder: Name of the folder in it.
        files: Names of the folder's files to train, and of those to test.
        label_bytes: Bytes of a record before its image.
    """

    title: str
    classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    archive: str
    folder: str
    files: tuple[tuple[str, ...], tuple[str, ...]]
    label_bytes: int


SETS = {
    "cifar10": _Set(
        "CIFAR-10",
        10,
        (125.3, 123.0, 113.9),
        (63.0, 62.1, 66.7),
        "cifar-10-binary.tar.gz",
        "cifar-10-batches-bin",
        (tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",)),
        label_bytes=1,
    ),
    "cifar100": _Set(
        "CIFAR-100",
        100,
        (129.3, 124.1, 112.4),
        (68.2, 65.4, 70.4),
        "cifar-100-binary.tar.gz",
        "cifar-100-binary",
        (("train.bin",), ("test.bin",)),
        # The label of the superclass comes before that of the class.
        label_bytes=2,
    ),
}
_RECORDS = {"data_batch": 10_000, "train": 50_000, "test": 10_000}  # By part, as published.
_HELD_OUT = 0.1  # 5,000 of 50,000 training images.


def load(
    name: str,
    data_dir: str | pathlib.Path | None = None,
    augment: str | None = "standard",
    allow_partial: bool = False,
) -> Splits:
    """CIFAR with 45,000 images to train, 5,000 to validate and 10,000 to test.

    The validation images are training images, equally many of each class.

    Args:
        name: A key of `SETS`.
        data_dir: Folder that holds the authors' binary files in `cifar-10-batches-bin` or
            `cifar-100-binary`, or a data set that TensorFlow Datasets prepared. None: the folder
            of TensorFlow Datasets. Nothing is downloaded.
        augment: `"standard"`: a random 32x32 window of the image padded by 4 with the mean color,
            mirrored half of the time. `"paper"`: a random 28x28 window, mirrored half of the time;
            evaluation shows the central 28x28. None: images as they are.
        allow_partial: Whether another number of images than was published is allowed.

    Returns:
        `Splits`.

    Raises:
        UsageError: If a name is not allowed, or the data are missing, damaged or not whole.
    """
    if name not in SETS:
        raise UsageError(f"--dataset={name}: no CIFAR. Allowed: {', '.join(SETS)}.")
    if augment not in AUGMENTATIONS:
        raise UsageError(f"--augment={augment}: unknown. Allowed: standard, paper.")
    folder = None if data_dir is None else pathlib.Path(data_dir)
    data = SETS[name]
    if folder is not None and os.path.isdir(folder / data.folder):
        train, test, found = _read_binary(data, folder / data.folder)
    else:
        train, test = tfds_arrays.read(
            name,
            folder,
            f"unpack {data.folder}/ from {data.archive} in --data_dir.",
            (SIZE, SIZE, 3),
            (0, data.classes - 1),
        )
        found = {"the training part": (len(train[1]), [_RECORDS["train"]])}
        found["the test part"] = len(test[1]), [_RECORDS["test"]]
    notes = partial.check(folder, found, allow_partial)
    reading.check_varied(folder, train[0])
    size = _PAPER_SIZE if augment == "paper" else SIZE
    prepare = functools.partial(_prepare, statistics=(data.mean, data.std), size=size)
    change = functools.partial(
        _augment, statistics=(data.mean, data.std), size=size, augment=augment
    )
    kept, held_out = hold_out(train[1], max(1, round(_HELD_OUT * len(train[1]))), folder)
    parts = [
        [array[rows] for array in part]
        for part, rows in ((train, kept), (train, held_out), (test, slice(None)))
    ]
    examples = (Examples(*part, change, prepare) for part in parts)
    found = digest.of_arrays(*train, *test)
    return Splits(name, *examples, classes=data.classes, digest=found, notes=notes)


def _read_binary(data, folder):
    """Images and labels of the training files and of the test file, and the files' numbers."""
    parts, found = [], {}
    for names in data.files:
        records = [_records(data, folder / file) for file in names]
        parts.append([np.concatenate(arrays) for arrays in zip(*records, strict=True)])
        found |= {
            repr(file): (len(labels), [_published(file)])
            for file, (_, labels) in zip(names, records, strict=True)
        }
    return *parts, found


def _published(file):
    return next(count for part, count in _RECORDS.items() if file.startswith(part))


def _records(data, path):
    """Images and labels of a file: a record is the label, and the image, channel by channel."""
    labels = data.label_bytes
    record = labels + 3 * SIZE**2
    root = path.parent.parent
    values = np.frombuffer(reading.read_file(root, path, record * _published(path.name)), "uint8")
    if not len(values) or len(values) % record:
        raise reading.fault(
            root,
            f"{path.name!r} has {len(values)} bytes. Allowed: a multiple of {record}, the bytes of "
            "an image and its label.",
        )
    values = values.reshape(-1, record)
    label = values[:, labels - 1].astype("int32")
    if label.max() >= data.classes:
        raise reading.fault(
            root,
            f"{path.name!r} has the label {label.max()}. Allowed: 0 to {data.classes - 1}.",
        )
    return values[:, labels:].reshape(-1, 3, SIZE, SIZE).transpose(0, 2, 3, 1), label


def _prepare(images, statistics, size):
    margin = (images.shape[1] - size) // 2
    return _standardized(images[:, margin : margin + size, margin : margin + size], statistics)


def _augment(images, draws, statistics, size, augment):
    if augment is None:
        return _prepare(images, statistics, size)
    padding = _PADDING if augment == "standard" else 0
    images = np.pad(
        _standardized(images, statistics), [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    )
    offsets = (draws[:, :2] * (images.shape[1] - size + 1)).astype(int)
    rows = offsets[:, :1] + np.arange(size)
    columns = offsets[:, 1:] + np.arange(size)
    # A mirror image is the same window's columns, from the right.
    columns = np.where(draws[:, 2:] < 0.5, columns[:, ::-1], columns)
    return images[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _standardized(images, statistics):
    mean, std = (np.array(numbers, "float32") for numbers in statistics)
    return (images.astype("float32") - mean) / std
