"""Loads the data set that flags ask for."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from keras_wn.data import digest, reading
from keras_wn.data.reading import MAX_PIXELS
from keras_wn.data.splits import Examples, Splits, check_memory
from keras_wn.errors import UsageError

# Data set -> the values of `--image_size` that it takes, the default first. The images of the sets
# in MNIST's format are averaged to half their size.
SIZES = {
    "digits": (32,),
    "imagenet": (224,),
    "cifar10": (32,),
    "cifar100": (32,),
    "mnist": (28, 14),
    "fashion_mnist": (28, 14),
    "kmnist": (28, 14),
    "emnist_balanced": (28, 14),
    "emnist_byclass": (28, 14),
    "emnist_bymerge": (28, 14),
    "emnist_digits": (28, 14),
    "emnist_letters": (28, 14),
}
# Data sets whose images are resized to any size.
RESIZED = ("digits", "imagenet")
# Data sets whose training images are cropped and mirrored.
AUGMENTED = ("imagenet", "cifar10", "cifar100")
DATASETS = tuple(SIZES)
AUGMENTATIONS = ("standard", "paper")


def load(
    dataset: str,
    data_dir: str | None = None,
    image_size: int = 224,
    augment: str = "standard",
    max_corrupt: int = 100,
    allow_partial: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Splits:
    """Loads a data set.

    Args:
        dataset: One of `DATASETS`. The digits are embedded and need no folder.
        data_dir: Folder. For `"imagenet"`, an image folder with `train/` and `val/`, or a TFDS
            folder with `imagenet2012/`. For the others, a folder with the files that their authors
            publish or a TFDS folder, or None for TFDS' own.
        image_size: Height and width. CIFAR has one size.
        augment: One of `AUGMENTATIONS`. The digits and the sets in MNIST's format are not
            augmented.
        max_corrupt: Number of images that cannot be decoded and that a run skips.
        allow_partial: Whether another number of images than was published is allowed.
        max_pixels: Pixels of the largest image that is decoded from a file.

    Returns:
        `Splits`.

    Raises:
        UsageError: If a value is not allowed, or if the data are missing or incomplete.
    """
    if dataset not in DATASETS:
        raise UsageError(f"--dataset={dataset}: unknown. Allowed: {', '.join(DATASETS)}.")
    if augment not in AUGMENTATIONS:
        raise UsageError(f"--augment={augment}: unknown. Allowed: {', '.join(AUGMENTATIONS)}.")
    if image_size < 1:
        raise UsageError(f"--image_size={image_size}: not allowed. Allowed: 1 or more.")
    if dataset == "digits":
        if data_dir is not None:
            raise UsageError(
                f"--data_dir={data_dir}: the digits are embedded. Allowed: with another --dataset."
            )
        from keras_wn.data import digits

        return digits.load(image_size)
    if data_dir is not None:
        reading.folder(
            data_dir, f"a folder that holds --dataset={dataset}, or none for the embedded digits"
        )
    # The other data sets are imported when they are asked for, because some need TensorFlow.
    if dataset.startswith("cifar"):
        from keras_wn.data import cifar

        return cifar.load(dataset, data_dir, augment, allow_partial)
    if dataset != "imagenet":
        from keras_wn.data import idx

        return idx.load(dataset, data_dir, image_size, allow_partial)
    if data_dir is None:
        raise UsageError("--dataset=imagenet needs its folder. Allowed: with --data_dir.")
    with tensorflow_needed(data_dir):
        from keras_wn.data import image_folder, imagenet_tfds, prepare
    root = pathlib.Path(data_dir)
    if prepare.is_image_folder(root):
        return image_folder.load(root, image_size, augment, max_corrupt, max_pixels)
    if os.path.isdir(root / imagenet_tfds.NAME):
        return imagenet_tfds.load(root, image_size, augment, max_corrupt, max_pixels, allow_partial)
    raise reading.fault(
        data_dir,
        f"neither train/ and val/ (an image folder) nor {imagenet_tfds.NAME}/ (prepared by TFDS) "
        f"is there. {imagenet_tfds.how_to_prepare(root)}",
    )


@contextlib.contextmanager
def tensorflow_needed(data_dir: str | None) -> Iterator[None]:
    """Scope of imports in which a package that is not installed is a `UsageError`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--data_dir={data_dir}: TensorFlow decodes the images, and {error.name} is not "
            "installed. Allowed: with keras_wn[train] installed, or another --dataset."
        ) from error


def synthetic(image_size: int = 224, classes: int = 1000, count: int = 512) -> Splits:
    """Random images and labels, the same in each split, to measure the speed of training alone.

    Args:
        image_size: Height and width.
        classes: Number of classes.
        count: Number of images in each split.

    Returns:
        `Splits`.

    Raises:
        UsageError: If the images would not fit in memory.

    Example:

    >>> splits = synthetic(image_size=8, classes=10, count=4)
    >>> splits.image_shape, len(splits.train)
    ((8, 8, 3), 4)
    """
    check_memory(count, image_size)
    generator = np.random.default_rng(0)
    images = generator.standard_normal((count, image_size, image_size, 3), "float32")
    examples = Examples(images, generator.integers(0, classes, count, "int32"))
    found = digest.of_arrays(np.array([count, image_size, classes]))
    return Splits("synthetic", examples, examples, examples, classes=classes, digest=found)
