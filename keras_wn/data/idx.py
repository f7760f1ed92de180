"""Reads MNIST and the sets in its format, IDX: Fashion-MNIST, KMNIST and EMNIST."""

import dataclasses
import gzip
import math
import os
import pathlib
import zlib

import numpy as np

from keras_wn.data import digest, partial, reading, tfds_arrays
from keras_wn.data.hold_out import hold_out
from keras_wn.data.splits import Examples, Splits, check_memory
from keras_wn.errors import UsageError

SIZE = 28  # Height and width of an image of any of the sets.
_SIZES = [size for size in range(SIZE, 0, -1) if SIZE % size == 0]
_HELD_OUT = 5000
_PART_HELD_OUT = 12  # Of partial data, one training image in 12, which is MNIST's share.


@dataclasses.dataclass(frozen=True)
class _Set:
    """Describes what the files of a set must hold.

    Attributes:
        title: Its name in texts.
        classes: Number of classes.
        counts: Pairs of the number of training images and of test images; EMNIST's letters were
            published twice.
        prefix: Prefix of the names of its files.
        test: Word for the test part in the names of its files.
        tfds: Its name in TensorFlow Datasets.
        first_label: The least label in the files.
        is_transposed: Whether the files store the images column by column.
    """

    title: str
    classes: int = 10
    counts: tuple[tuple[int, int], ...] = ((60_000, 10_000),)
    prefix: str = ""
    test: str = "t10k"
    tfds: str = ""
    first_label: int = 0
    is_transposed: bool = False

    @property
    def labels(self) -> tuple[int, int]:
        """The least and the largest label in the files."""
        return self.first_label, self.first_label + self.classes - 1


def _emnist(part, title, classes, *counts, first_label=0):
    prefix, name = f"emnist-{part}-", f"emnist/{part}"
    return _Set(
        f"EMNIST, {title}", classes, counts, prefix, "test", name, first_label, is_transposed=True
    )


SETS = {
    "mnist": _Set("MNIST", tfds="mnist"),
    "fashion_mnist": _Set("Fashion-MNIST", tfds="fashion_mnist"),
    "kmnist": _Set("KMNIST", tfds="kmnist"),
    "emnist_balanced": _emnist("balanced", "balanced", 47, (112_800, 18_800)),
    "emnist_byclass": _emnist("byclass", "by class", 62, (697_932, 116_323)),
    "emnist_bymerge": _emnist("bymerge", "by merged class", 47, (697_932, 116_323)),
    "emnist_digits": _emnist("digits", "digits", 10, (240_000, 40_000)),
    "emnist_letters": _emnist(
        "letters", "letters", 26, (124_800, 20_800), (88_800, 14_800), first_label=1
    ),
}
_DEBIAN = " Debian's package dataset-fashion-mnist has them, in /usr/share/datasets/fashion-mnist."


def load(
    name: str,
    data_dir: str | pathlib.Path | None = None,
    image_size: int = SIZE,
    allow_partial: bool = False,
) -> Splits:
    """A set of 28x28 gray images, with 5,000 of its training images to validate.

    The validation images are the same in every run, and equally many of each class. All images are
    standardized by the mean and the standard deviation of all training pixels. A smaller image has
    the means of blocks of whole pixels. Images are not augmented.

    Args:
        name: A key of `SETS`.
        data_dir: Folder that holds the set's four IDX files, gzipped or not, as
            `train-images-idx3-ubyte.gz`; or a data set that TensorFlow Datasets prepared. None: the
            folder of TensorFlow Datasets. Nothing is downloaded.
        image_size: Height and width: 28, or a part of it.
        allow_partial: Whether another number of images than was published is allowed. A twelfth of
            the training images is then held out to validate.

    Returns:
        `Splits`; images are float32 of shape `(n, image_size, image_size, 1)`, labels int32 of
        shape `(n,)`.

    Raises:
        UsageError: If a value is not allowed, or if the data are missing, damaged or not whole.

    Reference: LeCun et al. 1998 (MNIST, and the format); Xiao et al. 2017, arXiv 1708.07747
    (Fashion-MNIST); Clanuwat et al. 2018, arXiv 1812.01718 (KMNIST); Cohen et al. 2017, arXiv
    1702.05373 (EMNIST).
    """
    if name not in SETS:
        raise UsageError(f"--dataset={name}: not in the IDX format. Allowed: {', '.join(SETS)}.")
    if image_size not in _SIZES:
        raise UsageError(
            f"--image_size={image_size} with --dataset={name}: its images are of {SIZE}, and only "
            f"whole pixels are averaged. Allowed: {', '.join(map(str, _SIZES))}."
        )
    folder = None if data_dir is None else pathlib.Path(data_dir)
    data = SETS[name]
    if folder is not None and any(_find(folder, file) for file in _files(data)):
        (train, train_labels), (test, test_labels) = _read(folder, data, allow_partial)
    else:
        files = f"the files {', '.join(_files(data))}, gzipped or not, in --data_dir"
        hint = f"put {files}.{_DEBIAN if name == 'fashion_mnist' else ''}"
        (train, train_labels), (test, test_labels) = (
            (images[..., 0], labels)
            for images, labels in tfds_arrays.read(
                data.tfds, folder, hint, (SIZE, SIZE, 1), data.labels
            )
        )
    counts = {"training": len(train), "test": len(test)}
    found = {
        f"the {part} part": (count, [published[number] for published in data.counts])
        for number, (part, count) in enumerate(counts.items())
    }
    notes = partial.check(folder, found, allow_partial)
    identity = digest.of_arrays(train, train_labels, test, test_labels)
    check_memory(len(train) + len(test), image_size)
    train, test = (_shrunk(images, image_size, data.is_transposed) for images in (train, test))
    held_out = max(1, len(train) // _PART_HELD_OUT) if notes else _HELD_OUT
    kept, held_out = hold_out(train_labels, held_out, folder)
    reading.check_varied(folder, train[kept])
    mean, std = train[kept].mean(dtype="float64"), train[kept].std(dtype="float64")
    examples = (
        Examples(
            ((images - mean) / std).astype("float32"), labels.astype("int32") - data.first_label
        )
        for images, labels in (
            (train[kept], train_labels[kept]),
            (train[held_out], train_labels[held_out]),
            (test, test_labels),
        )
    )
    return Splits(name, *examples, classes=data.classes, digest=identity, notes=notes)


def _files(data):
    """Names of the images and labels to train, and of those to test."""
    return [
        f"{data.prefix}{part}-{kind}"
        for part in ("train", data.test)
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ]


def _find(folder, file):
    """The path of a file that may be gzipped, or None."""
    paths = (folder / file, folder / f"{file}.gz")
    return next((path for path in paths if os.path.lexists(path)), None)


def _read(folder, data, allow_partial):
    """Images and labels of the training files, and those of the test files."""
    paths = []
    for file in _files(data):
        paths.append(_find(folder, file))
        if paths[-1] is None:
            raise reading.fault(folder, f"the file {file!r} is missing, gzipped or not.")
    arrays = []
    for number, path in enumerate(paths):
        shape = (SIZE, SIZE) if number % 2 == 0 else ()
        counts = {counts[number // 2] for counts in data.counts}
        arrays.append(_array(path, shape, counts, allow_partial))
    for path, images, labels in zip(paths[1::2], arrays[::2], arrays[1::2], strict=True):
        least, largest = int(labels.min()), int(labels.max())
        first, last = data.labels
        if len(labels) != len(images) or least < first or largest > last:
            raise reading.fault(
                folder,
                f"{path.name!r} has {len(labels)} labels, {least} to {largest}. Allowed: "
                f"{len(images)} labels, {first} to {last}.",
            )
    return [arrays[:2], arrays[2:]]


def _array(path, shape, counts, allow_partial):
    """The array of a file: a header with the type, the number of axes and their sizes, and bytes.

    Args:
        path: Path of the file.
        shape: Shape of an item.
        counts: Set of the numbers of items that were published.
        allow_partial: Whether fewer items are allowed.
    """

    def damaged(text):
        return reading.fault(path.parent, f"{path.name!r} {text}")

    # 8 stands for unsigned bytes.
    magic = bytes((0, 0, 8, 1 + len(shape)))
    header = len(magic) * (2 + len(shape))
    longest = header + max(counts) * math.prod(shape)
    try:
        with reading.open_file(path) as file, _unzipped(file, path) as content:
            # Read a byte more than a whole file has, so that a longer file is noticed.
            data = content.read(longest + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise damaged(f"is cut or damaged: {error}.") from error
    except OSError as error:
        raise damaged(f"cannot be read ({reading.reason(error)}).") from error
    if data[:4] != magic:
        raise damaged(
            f"begins with {data[:4].hex() or 'nothing'}. Allowed: {magic.hex()}, for "
            f"{'images' if shape else 'labels'}."
        )
    if len(data) < header:
        raise damaged(f"has {len(data)} bytes. Allowed: a header of {header} bytes, and more.")
    count, *sizes = np.frombuffer(data[len(magic) : header], ">u4").tolist()
    allowed = range(1, max(counts) + 1) if allow_partial else sorted(counts)
    if count not in allowed or sizes != list(shape):
        texts = [str((n, *shape)) for n in sorted(counts)]
        raise damaged(
            f"says that its shape is {(count, *sizes)}. Allowed: {' or '.join(texts)}; with "
            "--allow_partial, fewer images."
        )
    values = np.frombuffer(data, "uint8", offset=header)
    expected = count * math.prod(shape)
    if len(values) != expected:
        raise damaged(
            f"has {'more' if len(values) > expected else len(values)} bytes after its header. "
            f"Allowed: {expected}."
        )
    return values.reshape(count, *shape)


def _unzipped(file, path):
    return gzip.open(file) if path.suffix == ".gz" else file


def _shrunk(images, size, is_transposed):
    """Images as float32 of shape `(n, size, size, 1)`, whose pixels are means of blocks."""
    if is_transposed:
        images = images.swapaxes(1, 2)
    block = SIZE // size
    blocks = images.reshape(len(images), size, block, size, block)
    return blocks.mean(axis=(2, 4), dtype="float32")[..., None]
