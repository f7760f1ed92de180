"""Checks whether a folder holds all of ImageNet, and prepares it by TensorFlow Datasets."""

import os
import pathlib
import shutil
import tarfile

from keras_wn.data import image_folder, imagenet_tfds, partial, reading
from keras_wn.errors import UsageError

# ImageNet's tars -> their sizes in bytes.
TARS = {"ILSVRC2012_img_train.tar": 147_897_477_120, "ILSVRC2012_img_val.tar": 6_744_924_160}
FILE_FORMATS = ("array_record", "tfrecord")
_MANUAL = pathlib.Path("downloads") / "manual"


def run(
    dataset: str | None, data_dir: str | None, file_format: str, allow_partial: bool = False
) -> None:
    """Prints which parts of ImageNet a folder holds, and prepares it if the folder holds its tars.

    Args:
        dataset: Name of the data set, or None for ImageNet.
        data_dir: Folder.
        file_format: One of `FILE_FORMATS`.
        allow_partial: Whether another number of images than was published is allowed.

    Raises:
        UsageError: If there is nothing to check, or if what is missing keeps the set from being
            used.
    """
    if dataset not in (None, "imagenet") or data_dir is None:
        raise UsageError(
            f"--prepare with --dataset={dataset} --data_dir={data_dir}. Allowed: ImageNet's "
            "folder as --data_dir."
        )
    print(report(data_dir, allow_partial), flush=True)
    root = _existing(data_dir)
    if is_image_folder(root):
        image_folder.load(root)
    elif imagenet_tfds.versions(root):
        imagenet_tfds.load(root, allow_partial=allow_partial)
    else:
        prepare(data_dir, file_format, allow_partial)
        print(report(data_dir, allow_partial), flush=True)


def report(data_dir: str | pathlib.Path, allow_partial: bool = False) -> str:
    """The parts of ImageNet that `data_dir` holds and lacks, by name and size. Writes nothing.

    Args:
        data_dir: Folder with ImageNet's tars, or an image folder.
        allow_partial: Whether another number of images than was published is allowed.

    Returns:
        Text of some lines.

    Raises:
        UsageError: If there is no such folder.
    """
    root = _existing(data_dir)
    if is_image_folder(root):
        return _report_images(root)
    lines = [f"ImageNet in {str(root)!r}:"]
    needed = 0
    for name, size in TARS.items():
        path = _tar(root, name)
        needed += path.stat().st_size if path else size
        if path is None:
            lines.append(f"missing: {name}, {size:,} bytes; put it into {str(root / _MANUAL)!r}")
        elif path.stat().st_size != size:
            lines.append(
                f"warning: {str(path)!r} has {path.stat().st_size:,} bytes, not ImageNet's {size:,}"
            )
        else:
            lines.append(f"found: {str(path)!r}, {size:,} bytes")
    free = shutil.disk_usage(root).free
    lines.append(
        f"{'enough' if free > needed else 'too little'} disk space: {free:,} bytes free, about "
        f"{needed:,} needed"
    )
    if os.path.isdir(root / imagenet_tfds.NAME):
        try:
            splits = imagenet_tfds.load(root, allow_partial=allow_partial)
            parts = (
                ("training", splits.train),
                ("validation", splits.validation),
                ("test", splits.test),
            )
            lines.append(
                "prepared: " + ", ".join(f"{len(part):,} {name} images" for name, part in parts)
            )
            lines.extend(splits.notes)
        except UsageError as error:
            lines.append(f"not prepared: {error}")
    return "\n".join(lines)


def prepare(
    data_dir: str | pathlib.Path, file_format: str = "array_record", allow_partial: bool = False
) -> None:
    """Builds TFDS' `imagenet2012` in `data_dir` from ImageNet's tars.

    Args:
        data_dir: Folder that holds the tars, itself or in `downloads/manual`.
        file_format: `"array_record"`, of which any image can be read at once, or `"tfrecord"`,
            which is read in sequence.
        allow_partial: Whether the tars may hold fewer images than ImageNet's.

    Raises:
        UsageError: If a tar or disk space is missing, or a tar cannot be read or is not
            ImageNet's.
    """
    root = _existing(data_dir)
    if file_format not in FILE_FORMATS:
        raise UsageError(
            f"--file_format={file_format}: unknown. Allowed: {', '.join(FILE_FORMATS)}."
        )
    tars = {name: _tar(root, name) for name in TARS}
    if missing := [f"{name} ({TARS[name]:,} bytes)" for name, path in tars.items() if path is None]:
        raise reading.fault(
            root, f"missing {', '.join(missing)}. Allowed: both tars in {root / _MANUAL}."
        )
    if len({path.parent for path in tars.values()}) > 1:
        raise reading.fault(
            root, f"the tars are in two folders. Allowed: both in {root / _MANUAL}."
        )
    needed, free = sum(path.stat().st_size for path in tars.values()), shutil.disk_usage(root).free
    if free < needed:
        raise reading.fault(
            root, f"{free:,} bytes free, about {needed:,} needed. Allowed: as many or more."
        )
    try:
        _check_tars(root, *tars.values(), allow_partial)
        imagenet_tfds.build(root, file_format, next(iter(tars.values())).parent)
    except UsageError:
        raise
    # A tar may be broken in many ways: not a tar, not an image, not ImageNet's names.
    except Exception as error:
        raise reading.fault(
            root,
            f"TFDS cannot read the tars ({type(error).__name__}: {reading.first_line(error)!r}). "
            "Allowed: ImageNet's tars.",
        ) from error


def is_image_folder(root: pathlib.Path) -> bool:
    """Whether a folder holds a `train` or a `val` folder."""
    return os.path.isdir(root / "train") or os.path.isdir(root / "val")


def _existing(data_dir):
    return reading.folder(data_dir, "a folder that holds ImageNet")


def _tar(root, name):
    paths = (folder / name for folder in (root / _MANUAL, root))
    return next((path for path in paths if os.path.isfile(path)), None)


def _check_tars(root, train, validation, allow_partial):
    """Refuses tars that hold other images than ImageNet's, which TFDS accepts silently.

    Tars of ImageNet's own sizes are not searched, because that takes minutes.
    """
    faults = []
    if train.stat().st_size != TARS[train.name]:
        expected = imagenet_tfds.synsets()
        counts = _images_by_synset(train)
        if others := sorted(set(counts) - expected):
            raise reading.fault(
                root,
                f"{train.name!r} holds {image_folder.shorten(others)}. Allowed: the tars of "
                "ImageNet's synsets, as n01440764.tar.",
            )
        if lacking := sorted(expected - set(counts)):
            faults.append(
                f"{train.name} lacks {len(lacking)} of {len(expected):,} synsets: "
                f"{image_folder.shorten(lacking)}"
            )
        if empty := sorted(name for name, count in counts.items() if not count):
            faults.append(f"{train.name} has no images of {image_folder.shorten(empty)}")
        faults += _fewer(train, sum(counts.values()), "train")
    if validation.stat().st_size != TARS[validation.name]:
        names = sorted(_names(validation))
        # TFDS gives the labels to the images by their order, so that a gap would shift all labels.
        expected = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, len(names) + 1)]
        if others := [name for name, right in zip(names, expected, strict=True) if name != right]:
            raise reading.fault(
                root,
                f"{validation.name!r} holds {image_folder.shorten(others)}. Allowed: "
                "ILSVRC2012_val_00000001.JPEG and so on, without gaps.",
            )
        faults += _fewer(validation, len(names), "validation")
    partial.refuse(root, faults, allow_partial)


def _fewer(tar, count, split):
    published = imagenet_tfds.IMAGES[split]
    return [f"{tar.name} has {count:,} of {published:,} images"] if count != published else []


def _images_by_synset(path):
    """Dict from the name of each tar inside of a tar, without suffix, to its number of files."""
    counts = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            name = member.name.removesuffix(".tar")
            if not member.isfile() or name == member.name:
                counts[member.name] = 0
                continue
            with tar.extractfile(member) as file, tarfile.open(fileobj=file, mode="r:") as inner:
                counts[name] = sum(image.isfile() for image in inner)
    return counts


def _names(path):
    with tarfile.open(path, "r:") as tar:
        return tar.getnames()


def _report_images(root):
    lines = [f"Images in {str(root)!r}:"]
    for part in ("train", "val"):
        try:
            listing = image_folder.list_images(root, part)
        except UsageError as error:
            lines.append(f"missing: {error}")
            continue
        lines.append(f"{part}/: {len(listing.classes):,} classes, {len(listing.files):,} images")
        if problems := listing.unreadable():
            lines.append(
                f"{part}/: {len(problems):,} files that may not be read: "
                f"{image_folder.shorten(problems)}"
            )
    try:
        lines.extend(image_folder.load(root).notes)
        lines.append("complete")
    except UsageError as error:
        lines.append(f"not usable: {error}")
    return "\n".join(lines)
