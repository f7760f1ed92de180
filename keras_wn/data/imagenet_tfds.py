"""ImageNet as TensorFlow Datasets prepared it."""

import pathlib
import re

import tensorflow_datasets as tfds

from keras_wn.data.augment import Crop
from keras_wn.data.corrupt import CorruptImages
from keras_wn.data.encoded import EncodedImages
from keras_wn.data.splits import Splits
from keras_wn.data.tfds_sources import ArrayRecordSource, TFRecordSource
from keras_wn.training.errors import UsageError

NAME = "imagenet2012"
HOW_TO_PREPARE = "Lay ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar in {}/downloads/manual and run with --prepare."
_SOURCES = {"array_record": ArrayRecordSource, "tfrecord": TFRecordSource}
_HELD_OUT = 10_000  # Training images for validation; 1 % of a smaller set.
_SHOWN = 5  # Names in a message.


def load(data_dir, image_size=224, augment="standard", max_corrupt=100):
    """ImageNet's 1,281,167 training and 50,000 validation images in tfrecord or array_record form.

    `test` is what ImageNet calls its validation images. Choosing anything on the test images is not allowed in this project:
    `validation` is the first 10,000 training records, which TFDS keeps in an order of its own, at random and always the same; they
    are not trained on.

    Args:
        data_dir: Folder of TFDS, which holds `imagenet2012/`.
        image_size: Positive integer, height and width.
        augment: `"standard"` or `"paper"`, see `Crop`.
        max_corrupt: Integer, how many images that cannot be decoded a run goes on with.

    Returns:
        `Splits`.

    Raises:
        UsageError: If the set is not prepared, or in part only.
    """
    builder = tfds.builder_from_directory(_prepared_folder(pathlib.Path(data_dir)))
    _check(builder, data_dir)
    held_out = max(1, min(_HELD_OUT, builder.info.splits["train"].num_examples // 100))
    source = _SOURCES[builder.info.file_format.value]
    corrupt = CorruptImages(max_corrupt)
    crops = Crop(image_size), Crop(image_size, augment)
    parts = [
        EncodedImages(source(builder, split), *crops, corrupt)
        for split in (f"train[{held_out}:]", f"train[:{held_out}]", "validation")
    ]
    return Splits(NAME, *parts, classes=builder.info.features["label"].num_classes, corrupt=corrupt)


def _prepared_folder(data_dir):
    """The newest version that is prepared."""
    folder = data_dir / NAME
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    versions = [
        n
        for n in names
        if re.fullmatch(r"\d+\.\d+\.\d+", n) and (folder / n / "dataset_info.json").is_file()
    ]
    if versions:
        return folder / max(versions, key=lambda name: [int(part) for part in name.split(".")])
    how = HOW_TO_PREPARE.format(data_dir)
    if names:
        raise UsageError(
            f"--data_dir={data_dir}: {NAME}/ is prepared in part only: it holds {', '.join(map(repr, names[:_SHOWN]))} and no "
            f"version with a dataset_info.json. Allowed: a finished one. Delete {folder}. {how}"
        )
    raise UsageError(f"--data_dir={data_dir}: {NAME}/ is not prepared. {how}")


def _check(builder, data_dir):
    how = HOW_TO_PREPARE.format(data_dir)
    if missing := [name for name in ("train", "validation") if name not in builder.info.splits]:
        raise UsageError(
            f"--data_dir={data_dir}: {NAME}/ has no {' and no '.join(missing)} split: a tar was missing when it was prepared. "
            f"Delete {builder.data_dir}. {how}"
        )
    if (form := builder.info.file_format.value) not in _SOURCES:
        raise UsageError(
            f"--data_dir={data_dir}: {NAME}/ is in {form} form. Allowed: {', '.join(_SOURCES)}."
        )
    files = [
        path for name in ("train", "validation") for path in builder.info.splits[name].filepaths
    ]
    missing = [path.name for path in files if not path.exists()]
    if missing:
        shown = ", ".join(map(repr, missing[:_SHOWN])) + (
            " and more" if len(missing) > _SHOWN else ""
        )
        raise UsageError(
            f"--data_dir={data_dir}: {len(missing)} of {len(files)} files are missing in {builder.data_dir}: {shown}. "
            f"Allowed: all. Copy them again, or delete the folder. {how}"
        )
