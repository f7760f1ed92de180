"""Reads a folder of images: `train/<class>/` and `val/<class>/`."""

import os
import pathlib

import numpy as np

from keras_wn.data.augment import Crop
from keras_wn.data.corrupt import CorruptImages
from keras_wn.data.encoded import EncodedImages, FileSource
from keras_wn.data.splits import Splits
from keras_wn.training.errors import UsageError

_SUFFIXES = {".jpeg", ".jpg", ".png"}
_SHOWN = 5  # Names in a message.
# The split is part of the data set: it never changes with a run's seed.
_SPLIT_SEED = 0
_HELD_OUT = 100  # One training image in so many.


def load(
    data_dir: str | pathlib.Path,
    image_size: int = 224,
    augment: str = "standard",
    max_corrupt: int = 100,
) -> Splits:
    """The images of a folder, a subfolder a class, numbered in the order of their names.

    `test` is the `val` folder. Choosing anything on the test images is not allowed in this project:
    `validation` is 1 % of the images of `train`, at least one of each class, and always the same;
    they are not trained on.

    Args:
        data_dir: Folder with `train/<class>/` and `val/<class>/`, which hold .JPEG, .jpg, .jpeg or
            .png files.
        image_size: Positive integer, height and width.
        augment: `"standard"` or `"paper"`, see `Crop`.
        max_corrupt: Number of images that cannot be decoded and that a run skips.

    Returns:
        `Splits`.

    Raises:
        UsageError: If the folder is not as it must be: folders or images missing, fewer than two
            classes, other classes in `val` than in `train`, or files that may not be read.
    """
    root = pathlib.Path(data_dir)
    train, test = (list_images(root, part) for part in ("train", "val"))
    if problems := unreadable(
        [path for part in (train, test) for paths in part.values() for path in paths]
    ):
        raise UsageError(
            f"--data_dir={data_dir}: files that may not be read: {shorten(problems)}. Allowed: "
            "readable files."
        )
    _check_classes(data_dir, train, test)
    chosen = {name: _held_out(paths) for name, paths in train.items()}
    parts = [
        {
            name: [p for i, p in enumerate(paths) if i not in chosen[name]]
            for name, paths in train.items()
        },
        {
            name: [p for i, p in enumerate(paths) if i in chosen[name]]
            for name, paths in train.items()
        },
        test,
    ]
    corrupt = CorruptImages(max_corrupt)
    crops = Crop(image_size), Crop(image_size, augment)
    splits = [EncodedImages(_source(part), *crops, corrupt) for part in parts]
    return Splits("image_folder", *splits, classes=len(train), corrupt=corrupt)


def list_images(root: pathlib.Path, part: str) -> dict[str, list[pathlib.Path]]:
    """Images of a part of an image folder.

    Args:
        root: `pathlib.Path`.
        part: `"train"` or `"val"`.

    Returns:
        Dict, names of classes -> lists of paths, both in order.

    Raises:
        UsageError: If the folder or one in it cannot be listed.
    """
    folder = root / part
    if not folder.is_dir():
        raise UsageError(
            f"--data_dir={root}: no folder {part}/. Allowed: train/ and val/ with a folder a "
            "class in either."
        )
    try:
        with os.scandir(folder) as entries:
            classes = sorted(
                entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")
            )
        return {name: _images_in(folder / name) for name in classes}
    except PermissionError as error:
        raise UsageError(
            f"--data_dir={root}: {error.filename} may not be read. Allowed: readable folders."
        ) from error


def unreadable(paths: list[pathlib.Path]) -> list[str]:
    """The paths that this user may not read, or that lead nowhere."""
    return [str(path) for path in paths if not os.access(path, os.R_OK)]


def shorten(names: list[str]) -> str:
    """The first names, quoted, and the number of the others."""
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _images_in(folder):
    with os.scandir(folder) as entries:
        # A Mac's "._name.JPEG" is no image.
        names = sorted(
            e.name
            for e in entries
            if os.path.splitext(e.name)[1].lower() in _SUFFIXES and e.name[0] != "."
        )
    return [folder / name for name in names]


def _check_classes(data_dir, train, test):
    if len(train) < 2:
        raise UsageError(
            f"--data_dir={data_dir}: train/ has {len(train)} class folder(s). Allowed: 2 or more."
        )
    for name, part, other in (("val", test, train), ("train", train, test)):
        if missing := sorted(set(other) - set(part)):
            raise UsageError(
                f"--data_dir={data_dir}: {name}/ lacks {len(missing)} of the class folders: "
                f"{shorten(missing)}. "
                "Allowed: the same classes in train/ and val/."
            )
    for name, part, least in (("train", train, 2), ("val", test, 1)):
        if few := [c for c, paths in part.items() if len(paths) < least]:
            raise UsageError(
                f"--data_dir={data_dir}: {name}/ has too few images in {shorten(few)}. "
                f"Allowed: {least} or more .JPEG, .jpg, .jpeg or .png files in each class folder "
                f"of {name}/."
            )


def _held_out(paths):
    count = max(1, round(len(paths) / _HELD_OUT))
    return set(np.random.default_rng(_SPLIT_SEED).permutation(len(paths))[:count].tolist())


def _source(classes):
    labels = [label for label, paths in enumerate(classes.values()) for _ in paths]
    return FileSource([path for paths in classes.values() for path in paths], labels)
