"""Checks whether a folder holds all of ImageNet, and prepares it by TensorFlow Datasets."""

import pathlib
import shutil

import tensorflow_datasets as tfds

from keras_wn.data import image_folder, imagenet_tfds
from keras_wn.training.errors import UsageError

# ImageNet's tars -> their sizes in bytes.
TARS = {"ILSVRC2012_img_train.tar": 147_897_477_120, "ILSVRC2012_img_val.tar": 6_744_924_160}
FILE_FORMATS = ("array_record", "tfrecord")
_MANUAL = pathlib.Path("downloads") / "manual"


def run(dataset: str | None, data_dir: str | None, file_format: str) -> None:
    """Prints which parts of ImageNet a folder holds, and prepares it if its tars lie there.

    Args:
        dataset: Name of the data set, or None for ImageNet.
        data_dir: Folder.
        file_format: One of `FILE_FORMATS`.

    Raises:
        UsageError: If there is nothing to check, or if what is missing keeps the set from being
            used.
    """
    if dataset not in (None, "imagenet") or data_dir is None:
        raise UsageError(
            f"--prepare with --dataset={dataset} --data_dir={data_dir}. Allowed: ImageNet's "
            "folder as --data_dir."
        )
    print(report(data_dir), flush=True)
    root = _existing(data_dir)
    if is_image_folder(root):
        image_folder.load(root)
    elif not _is_prepared(root):
        prepare(data_dir, file_format)
        print(report(data_dir), flush=True)


def _is_prepared(root):
    if not (root / imagenet_tfds.NAME).is_dir():
        return False
    imagenet_tfds.load(root)
    return True


def report(data_dir: str | pathlib.Path) -> str:
    """The parts of ImageNet that `data_dir` holds and lacks, by name and size. Writes nothing.

    Args:
        data_dir: Folder with ImageNet's tars, or an image folder.

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
            lines.append(f"missing: {name}, {size:,} bytes; to be laid in {str(root / _MANUAL)!r}")
        elif path.stat().st_size != size:
            lines.append(
                f"warning: {str(path)!r} has {path.stat().st_size:,} bytes, not ImageNet's {size:,}"
            )
        else:
            lines.append(f"there: {str(path)!r}, {size:,} bytes")
    free = shutil.disk_usage(root).free
    lines.append(
        f"{'enough' if free > needed else 'too little'} disk space: {free:,} bytes free, about "
        f"{needed:,} needed"
    )
    if (root / imagenet_tfds.NAME).is_dir():
        try:
            splits = imagenet_tfds.load(root)
            parts = (
                ("training", splits.train),
                ("validation", splits.validation),
                ("test", splits.test),
            )
            lines.append(
                "prepared: " + ", ".join(f"{len(part):,} {name} images" for name, part in parts)
            )
        except UsageError as error:
            lines.append(f"not prepared: {error}")
    return "\n".join(lines)


def prepare(data_dir: str | pathlib.Path, file_format: str = "array_record") -> None:
    """Builds TFDS' `imagenet2012` in `data_dir` from ImageNet's tars.

    Args:
        data_dir: Folder that holds the tars, itself or in `downloads/manual`.
        file_format: `"array_record"`, of which any image can be read at once, or `"tfrecord"`,
            which is read in sequence.

    Raises:
        UsageError: If a tar or disk space is missing, or a tar cannot be read. A size other than
            ImageNet's is no error.
    """
    root = _existing(data_dir)
    if file_format not in FILE_FORMATS:
        raise UsageError(
            f"--file_format={file_format}: unknown. Allowed: {', '.join(FILE_FORMATS)}."
        )
    tars = {name: _tar(root, name) for name in TARS}
    if missing := [f"{name} ({TARS[name]:,} bytes)" for name, path in tars.items() if path is None]:
        raise UsageError(
            f"--data_dir={root}: missing {', '.join(missing)}. Allowed: both tars in "
            f"{root / _MANUAL}."
        )
    if len({path.parent for path in tars.values()}) > 1:
        raise UsageError(
            f"--data_dir={root}: the tars lie in two folders. Allowed: both in {root / _MANUAL}."
        )
    needed, free = sum(path.stat().st_size for path in tars.values()), shutil.disk_usage(root).free
    if free < needed:
        raise UsageError(
            f"--data_dir={root}: {free:,} bytes free, about {needed:,} needed. Allowed: as many "
            "or more."
        )
    builder = tfds.builder(imagenet_tfds.NAME, data_dir=root, file_format=file_format)
    config = tfds.download.DownloadConfig(manual_dir=next(iter(tars.values())).parent)
    try:
        builder.download_and_prepare(download_config=config)
    # Whatever is wrong inside of a tar: not a tar, not an image, not ImageNet's names.
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(
            f"--data_dir={root}: TFDS cannot read the tars ({type(error).__name__}: {reason!r})."
        ) from error


def is_image_folder(root: pathlib.Path) -> bool:
    """Whether a folder holds a `train` or a `val` folder."""
    return (root / "train").is_dir() or (root / "val").is_dir()


def _existing(data_dir):
    root = pathlib.Path(data_dir)
    if not root.is_dir():
        raise UsageError(
            f"--data_dir={data_dir}: no such folder. Allowed: a folder that holds ImageNet."
        )
    return root


def _tar(root, name):
    return next(
        (folder / name for folder in (root / _MANUAL, root) if (folder / name).is_file()), None
    )


def _report_images(root):
    lines = [f"Images in {str(root)!r}:"]
    for part in ("train", "val"):
        try:
            classes = image_folder.list_images(root, part)
        except UsageError as error:
            lines.append(f"missing: {error}")
            continue
        paths = [path for paths in classes.values() for path in paths]
        lines.append(f"{part}/: {len(classes):,} classes, {len(paths):,} images")
        if problems := image_folder.unreadable(paths):
            lines.append(
                f"{part}/: {len(problems):,} files that may not be read: "
                f"{image_folder.shorten(problems)}"
            )
    try:
        image_folder.load(root)
        lines.append("complete")
    except UsageError as error:
        lines.append(f"not usable: {error}")
    return "\n".join(lines)
