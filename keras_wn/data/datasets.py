"""Lists the data sets, and loads the one that flags ask for."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from keras_wn.data import cifar, digest, idx, reading
from keras_wn.data.reading import MAX_PIXELS
from keras_wn.data.splits import Examples, Splits, check_memory
from keras_wn.errors import UsageError

AUGMENTATIONS = ("standard", "paper")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set that can be trained on.

    Attributes:
        descriptions: Dict from the name of its `Splits`, which may depend on the form of its files,
            to a text for logs and result files.
        sizes: The values of `--image_size` that it takes, the default first.
        is_resized: Whether it takes any other `--image_size` as well.
        is_augmented: Whether its training images are cropped and mirrored.
    """

    descriptions: dict[str, str]
    sizes: tuple[int, ...]
    is_resized: bool = False
    is_augmented: bool = False


# Name for `--dataset` -> data set.
DATASETS = {
    "digits": Dataset(
        {"digits": "scikit-learn's handwritten digits, embedded (no --data_dir given)"},
        (32,),
        is_resized=True,
    ),
    "imagenet": Dataset(
        {
            "imagenet2012": "ImageNet, as TensorFlow Datasets prepared it",
            "image_folder": "images in folders by class",
        },
        (224,),
        is_resized=True,
        is_augmented=True,
    ),
    **{
        name: Dataset({name: data.title}, (cifar.SIZE,), is_augmented=True)
        for name, data in cifar.SETS.items()
    },
    # Images of half the size have the means of blocks of pixels.
    **{
        name: Dataset({name: data.title}, (idx.SIZE, idx.SIZE // 2))
        for name, data in idx.SETS.items()
    },
}
NAMES = tuple(DATASETS)
_SYNTHETIC = {
    "synthetic": "random images from memory (--use_synthetic_data): figures of accuracy mean "
    "nothing"
}


def description(splits: Splits) -> str:
    """A text that says which data `splits` holds, for logs and result files."""
    texts = dict(_SYNTHETIC)
    for data in DATASETS.values():
        texts |= data.descriptions
    return texts[splits.name]


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
        dataset: One of `NAMES`. The digits are embedded and need no folder.
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
    if dataset not in NAMES:
        raise UsageError(f"--dataset={dataset}: unknown. Allowed: {', '.join(NAMES)}.")
    if augment not in AUGMENTATIONS:
        raise UsageError(f"--augment={augment}: unknown. Allowed: {', '.join(AUGMENTATIONS)}.")
    if image_size < 1:
        raise UsageError(f"--image_size={image_size}: not allowed. Allowed: 1 or more.")
    if dataset == "digits":
        if data_dir is not None:
            raise UsageError(
                f"--data_dir={data_dir}: the digits are embedded. Allowed: with another --dataset."
            )
        # Imported here, because it takes a second to import scikit-learn.
        from keras_wn.data import digits

        return digits.load(image_size)
    if data_dir is not None:
        reading.folder(
            data_dir, f"a folder that holds --dataset={dataset}, or none for the embedded digits"
        )
    if dataset in cifar.SETS:
        return cifar.load(dataset, data_dir, augment, allow_partial)
    if dataset in idx.SETS:
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
