"""Reads a folder of images: `train/<class>/` and `val/<class>/`."""

import collections
import dataclasses
import hashlib
import os
import pathlib
import stat
from typing import NamedTuple

from keras_wn.data import digest, reading
from keras_wn.data.augment import Crop
from keras_wn.data.corrupt import CorruptImages
from keras_wn.data.decode import FORMATS
from keras_wn.data.encoded import EncodedImages, FileSource
from keras_wn.data.reading import MAX_PIXELS
from keras_wn.data.splits import Splits

_SHOWN = 5  # Names in a message.
# The split is part of the data set: it never changes with a run's seed.
_SPLIT_SEED = 0
_HELD_OUT = 100  # One training image in so many.
_ALLOWED = "train/ and val/ with a folder a class in either"
# Entries of a folder that are not read, in the singular and in the plural.
_OTHER_FILES = ("file that is not an image", "files that are not images")
_FOLDERS = ("folder", "folders")
_NO_CLASS = ("image outside of the class folders", "images outside of the class folders")
_KINDS = {
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class ImageFile(NamedTuple):
    """An image of a class.

    Attributes:
        name: Path in the folder of the class.
        path: Whole path.
        size: Bytes. None if the file does not exist, as when a link leads nowhere.
    """

    name: str
    path: str
    size: int | None


@dataclasses.dataclass(frozen=True)
class Listing:
    """The images of a part of an image folder.

    Attributes:
        classes: Dict from the names of the classes to lists of `ImageFile`, both in order.
        left_out: Counter of the entries that are not read. A key is a pair of the nouns for such an
            entry, in the singular and in the plural, and its kind.
    """

    classes: dict[str, list[ImageFile]]
    left_out: collections.Counter

    @property
    def files(self) -> list[ImageFile]:
        """All images."""
        return [file for files in self.classes.values() for file in files]

    def unreadable(self) -> list[str]:
        """The paths of the images that this user may not read, or that lead nowhere."""
        return [f.path for f in self.files if f.size is None or not os.access(f.path, os.R_OK)]


def load(
    data_dir: str | pathlib.Path,
    image_size: int = 224,
    augment: str = "standard",
    max_corrupt: int = 100,
    max_pixels: int = MAX_PIXELS,
) -> Splits:
    """The images of a folder, a subfolder a class, numbered in the order of their names.

    The images of a class may be in subfolders of its folder. Hidden files and files that
    are not images are left out, and counted in the `notes` of the splits.

    `test` is the `val` folder. Choosing anything on the test images is not allowed in this project:
    `validation` is 1 % of the images of `train`, at least one of each class, and always the same;
    they are not trained on. They are chosen by hashes of their names, so that adding an image does
    not change the choice of the others.

    Args:
        data_dir: Folder with `train/<class>/` and `val/<class>/`, which hold images with the
            suffixes of `FORMATS`, in any case.
        image_size: Positive integer, height and width.
        augment: `"standard"` or `"paper"`, see `Crop`.
        max_corrupt: Number of images that cannot be decoded and that a run skips.
        max_pixels: Pixels of the largest image that is decoded.

    Returns:
        `Splits`.

    Raises:
        UsageError: If the folder is not as it must be: folders or images missing, fewer than two
            classes, other classes in `val` than in `train`, or files that may not be read.
    """
    root = reading.folder(data_dir, _ALLOWED)
    listings = {part: list_images(root, part) for part in ("train", "val")}
    train, test = (listing.classes for listing in listings.values())
    if problems := [path for listing in listings.values() for path in listing.unreadable()]:
        raise reading.fault(
            data_dir,
            f"files that may not be read: {shorten(problems)}. Allowed: readable files.",
        )
    _check_classes(data_dir, train, test)
    chosen = {name: _held_out(name, files) for name, files in train.items()}
    parts = [
        {name: [f for f in files if f not in chosen[name]] for name, files in train.items()},
        {name: [f for f in files if f in chosen[name]] for name, files in train.items()},
        test,
    ]
    corrupt = CorruptImages(max_corrupt)
    crops = Crop(image_size, None, max_pixels), Crop(image_size, augment, max_pixels)
    splits = [EncodedImages(_source(part), *crops, corrupt) for part in parts]
    return Splits(
        "image_folder",
        *splits,
        classes=len(train),
        digest=digest.of_lines(_lines(listings)),
        notes=_notes(sum((part.left_out for part in listings.values()), collections.Counter())),
        corrupt=corrupt,
    )


def list_images(root: pathlib.Path, part: str) -> Listing:
    """Lists the images of a part of an image folder.

    Args:
        root: `pathlib.Path`.
        part: `"train"` or `"val"`.

    Returns:
        `Listing`.

    Raises:
        UsageError: If the folder or one in it cannot be listed.
    """
    folder = root / part
    if not os.path.isdir(folder):
        raise reading.fault(root, f"no folder {part}/. Allowed: {_ALLOWED}.")
    classes, left_out = {}, collections.Counter()
    try:
        above = {_identity(os.stat(path)) for path in (root, folder)}
        for entry in _entries(folder):
            kind = _kind(entry)
            if kind is _FOLDERS and (identity := _identity(entry.stat())) not in above:
                classes[entry.name] = _images_in(entry.path, above | {identity}, left_out)
            else:
                left_out[_describe(entry, _NO_CLASS if kind is None else kind)] += 1
    except OSError as error:
        raise reading.fault(
            root,
            f"{reading.printable(error.filename)} may not be read ({reading.reason(error)}). "
            "Allowed: readable folders.",
        ) from error
    return Listing(classes, left_out)


def shorten(names: list[str]) -> str:
    """The first names, quoted, and the number of the others."""
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _images_in(folder, seen, left_out):
    """Images in a folder and in those below it, each once, even if several links lead to it."""
    found, waiting = [], [folder]
    while waiting:
        for entry in _entries(waiting.pop()):
            kind, name = _kind(entry), entry.path[len(folder) + 1 :]
            if kind is None:
                found.append(ImageFile(name, entry.path, _size(entry)))
            elif kind is _FOLDERS and (identity := _identity(entry.stat())) not in seen:
                seen.add(identity)
                waiting.append(entry.path)
            else:
                left_out[_describe(entry, kind)] += 1
    return sorted(found, key=lambda file: os.fsencode(file.name))


def _entries(folder):
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: os.fsencode(entry.name))


def _kind(entry):
    """None for an image, `_FOLDERS` for a folder to read, or else a key of `Listing.left_out`."""
    suffix = os.path.splitext(entry.name)[1].lower()
    mode = stat.S_IFMT(_mode(entry))
    if entry.name.startswith("."):  # Such as a Mac's "._name.JPEG".
        if mode == stat.S_IFDIR:
            return _FOLDERS, "hidden"
        return _OTHER_FILES, f"hidden {suffix}" if suffix else entry.name
    if mode == stat.S_IFDIR:
        return _FOLDERS
    if mode in _KINDS:
        return _OTHER_FILES, _KINDS[mode]
    if suffix in FORMATS:
        return None
    if not mode:
        return _OTHER_FILES, "link that leads nowhere"
    return _OTHER_FILES, suffix or "without a suffix"


def _describe(entry, kind):
    """The key of `Listing.left_out` for a folder or image that is left out because of its place."""
    if kind is _FOLDERS:
        return _FOLDERS, "link to a folder that is read already"
    return (kind, os.path.splitext(entry.name)[1].lower()) if kind is _NO_CLASS else kind


def _mode(entry):
    try:
        return entry.stat().st_mode
    # A link leads nowhere or to itself, or the folder may be listed but not entered.
    except OSError:
        return 0


def _size(entry):
    try:
        return entry.stat().st_size
    except OSError:
        return None


def _identity(status):
    return status.st_dev, status.st_ino


def _check_classes(data_dir, train, test):
    if len(train) < 2:
        raise reading.fault(
            data_dir, f"train/ has {len(train)} class folder(s). Allowed: 2 or more."
        )
    for name, part, other in (("val", test, train), ("train", train, test)):
        if missing := [c for c in other if c not in part]:
            raise reading.fault(
                data_dir,
                f"{name}/ lacks {len(missing)} of the class folders: {shorten(missing)}. "
                "Allowed: the same classes in train/ and val/.",
            )
    for name, part, least in (("train", train, 2), ("val", test, 1)):
        if few := [c for c, files in part.items() if len(files) < least]:
            raise reading.fault(
                data_dir,
                f"{name}/ has too few images in {shorten(few)}. Allowed: {least} or more files "
                f"with the suffixes {', '.join(FORMATS)} in each class folder of {name}/.",
            )


def _held_out(name, files):
    """The files of a class with the smallest hashes of their names."""

    def order(file):
        text = b"\0".join((b"%d" % _SPLIT_SEED, os.fsencode(name), os.fsencode(file.name)))
        return hashlib.sha256(text).digest()

    return set(sorted(files, key=order)[: max(1, round(len(files) / _HELD_OUT))])


def _lines(listings):
    """The list of examples, by names in the folder and sizes."""
    for part, listing in listings.items():
        for name, files in listing.classes.items():
            for file in files:
                path = os.fsencode(f"{part}/{name}/{file.name}")
                yield b"%b %d" % (path, file.size)


def _notes(left_out):
    """One line about all entries that are not read, or no line."""
    texts = []
    for nouns in (_OTHER_FILES, _NO_CLASS, _FOLDERS):
        kinds = collections.Counter({k: n for (noun, k), n in left_out.items() if noun == nouns})
        if not kinds:
            continue
        shown = [f"{reading.printable(kind)} {n}" for kind, n in kinds.most_common(_SHOWN)]
        if len(kinds) > _SHOWN:
            shown.append(f"others {kinds.total() - sum(n for _, n in kinds.most_common(_SHOWN))}")
        noun = nouns[kinds.total() > 1]
        texts.append(f"{kinds.total()} {noun} ({', '.join(shown)})")
    return (f"Left out: {', '.join(texts)}.",) if texts else ()


def _source(classes):
    labels = [label for label, files in enumerate(classes.values()) for _ in files]
    return FileSource([file.path for files in classes.values() for file in files], labels)
