"""Reads ImageNet as TensorFlow Datasets prepared it, in array_record or in tfrecord form."""

import pathlib
import re

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_wn.data.augment import Crop
from keras_wn.data.corrupt import CorruptImages
from keras_wn.data.encoded import (
    EncodedImages,
    evaluation_positions,
    evaluation_share,
    shuffled,
    training_positions,
)
from keras_wn.data.splits import Splits, own_rows, steps_in_epoch
from keras_wn.training.errors import UsageError

NAME = "imagenet2012"
HOW_TO_PREPARE = (
    "Lay ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar in {}/downloads/manual "
    "and run with --prepare."
)
_HELD_OUT = 10_000  # Training images for validation; 1 % of a smaller set.
_SHOWN = 5  # Names in a message.
# Records that are shuffled among themselves. They are 0.45 GB of ImageNet, and two such windows are
# in memory while the next one is read.
WINDOW = 4096
_FILES_AT_ONCE = 16
_ENCODED = {"image": tfds.decode.SkipDecoding()}


def load(
    data_dir: str | pathlib.Path,
    image_size: int = 224,
    augment: str = "standard",
    max_corrupt: int = 100,
) -> Splits:
    """ImageNet's 1,281,167 training and 50,000 validation images in tfrecord or array_record form.

    `test` is what ImageNet calls its validation images. Choosing anything on the test images is not
    allowed in this project: `validation` is the first 10,000 training records, which TFDS keeps in
    an order of its own, at random and always the same; they are not trained on.

    Args:
        data_dir: Folder of TFDS, which holds `imagenet2012/`.
        image_size: Positive integer, height and width.
        augment: `"standard"` or `"paper"`, see `Crop`.
        max_corrupt: Number of images that cannot be decoded and that a run skips.

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
            f"--data_dir={data_dir}: {NAME}/ is prepared in part only: it holds "
            f"{', '.join(map(repr, names[:_SHOWN]))} and no "
            f"version with a dataset_info.json. Allowed: a finished one. Delete {folder}. {how}"
        )
    raise UsageError(f"--data_dir={data_dir}: {NAME}/ is not prepared. {how}")


def _check(builder, data_dir):
    how = HOW_TO_PREPARE.format(data_dir)
    if missing := [name for name in ("train", "validation") if name not in builder.info.splits]:
        raise UsageError(
            f"--data_dir={data_dir}: {NAME}/ has no {' and no '.join(missing)} split: a tar was "
            "missing when it was prepared. "
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
            f"--data_dir={data_dir}: {len(missing)} of {len(files)} files are missing in "
            f"{builder.data_dir}: {shown}. "
            f"Allowed: all. Copy them again, or delete the folder. {how}"
        )


class ArrayRecordSource:
    """Reads records of array_record files, in any order.

    Args:
        builder: `tfds.core.DatasetBuilder` of a set prepared in array_record form.
        split: String, as TFDS takes it: `"train[10000:]"`.
    """

    def __init__(self, builder, split):
        self._parse = _parser(builder)
        self._records = builder.as_data_source(split, decoders=_ENCODED)

    def __len__(self):
        return len(self._records)

    def training_rows(
        self, batch_size: int, seed: int, first_step: int, shard: tuple[int, int]
    ) -> tf.data.Dataset:
        """As `FileSource.training_rows`."""
        positions = training_positions(len(self), batch_size, seed, first_step, shard)
        return positions.map(
            lambda n, p: (n, p, *self._fetch(p)), num_parallel_calls=2, deterministic=True
        )

    def evaluation_rows(
        self, batch_size: int, replicas: int, shard: tuple[int, int]
    ) -> tf.data.Dataset:
        """As `FileSource.evaluation_rows`."""
        positions = evaluation_positions(len(self), batch_size, replicas, shard)
        return positions.map(
            lambda p: (p, *self._fetch(p)), num_parallel_calls=2, deterministic=True
        )

    def read(self, data: tf.Tensor) -> tf.Tensor:
        """The encoded image of a row's data."""
        return data

    def name(self, position: int) -> str:
        """The name of an image."""
        return self.record(position)[2]

    def record(self, position: int) -> tuple[bytes, int, str]:
        """The encoded image, label and name."""
        return _as_python(self._records[position])

    def _fetch(self, positions):
        def read(positions):
            # Rows that fill a batch up are read as well, and not used.
            return np.array(
                self._records.data_source.__getitems__(np.maximum(positions, 0).tolist()),
                dtype=object,
            )

        serialized = tf.numpy_function(read, [positions], tf.string, stateful=False)
        serialized = tf.ensure_shape(serialized, (None,))
        data, labels = tf.map_fn(self._parse, serialized, fn_output_signature=(tf.string, tf.int64))
        return tf.where(positions < 0, "", data), labels


class TFRecordSource:
    """Records that are read in sequence, shuffled by the order of the files and within windows.

    Args:
        builder: `tfds.core.DatasetBuilder` of a set prepared in tfrecord form.
        split: String, as TFDS takes it: `"train[10000:]"`.
    """

    def __init__(self, builder, split):
        self._parse = _parser(builder)
        self._features = builder.info.features
        files = builder.info.splits[split].file_instructions
        self._paths = [str(file.filename) for file in files]
        self._skip = [file.skip for file in files]
        self._take = [file.take for file in files]
        # Position of the first record of each file, and the number of all.
        self._first = np.concatenate([[0], np.cumsum(self._take)]).astype("int64")

    def __len__(self):
        return int(self._first[-1])

    def training_rows(
        self, batch_size: int, seed: int, first_step: int, shard: tuple[int, int]
    ) -> tf.data.Dataset:
        """As `FileSource.training_rows`. Reads all records, and parses this shard's alone."""
        steps = steps_in_epoch(len(self), batch_size)
        start, stop = own_rows(batch_size, shard)
        used = steps * batch_size

        windows = -(-len(self) // WINDOW)

        def shuffled_window(number, batch):
            count = tf.size(batch[0], tf.int64)
            # 2^31 on: numbers that the order of the files never gets to.
            order = shuffled(tf.range(count), seed, 2**31 + number, count)
            return tf.data.Dataset.from_tensor_slices(
                tuple(tf.gather(part, order) for part in batch)
            )

        def epoch_records(epoch):
            order = shuffled(
                tf.range(len(self._paths), dtype=tf.int64), seed, epoch, len(self._paths)
            )
            files = tf.data.Dataset.from_tensor_slices(order)
            records = files.interleave(
                self._file, cycle_length=_FILES_AT_ONCE, num_parallel_calls=2, deterministic=True
            )
            # In windows, each shuffled by itself: `Dataset.shuffle` takes no seed but a number, and
            # mixes in the global one.
            records = records.batch(WINDOW).prefetch(1).enumerate()
            records = records.flat_map(
                lambda window, batch: shuffled_window(epoch * windows + window, batch)
            )
            skipped = tf.where(
                epoch == first_step // steps,
                tf.constant(first_step % steps * batch_size, tf.int64),
                0,
            )
            records = records.take(used).skip(skipped).enumerate(start=epoch * used + skipped)
            return records.filter(
                lambda number, _: (number % batch_size >= start) & (number % batch_size < stop)
            )

        epochs = tf.data.Dataset.range(first_step // steps, tf.int64.max)
        records = epochs.flat_map(epoch_records)
        records = records.map(lambda number, record: (number, record[0], *self._parse(record[1])))
        return records.batch(stop - start).prefetch(2)

    def evaluation_rows(
        self, batch_size: int, replicas: int, shard: tuple[int, int]
    ) -> tf.data.Dataset:
        """As `FileSource.evaluation_rows`."""
        is_own, missing = evaluation_share(len(self), batch_size, replicas, shard)
        records = tf.data.Dataset.range(len(self._paths)).flat_map(self._file)
        records = records.filter(lambda position, _: is_own(position))
        records = records.map(lambda position, record: (position, *self._parse(record)))
        filler = (tf.constant(-1, tf.int64), tf.constant(""), tf.constant(-1, tf.int64))
        records = records.concatenate(tf.data.Dataset.from_tensors(filler).repeat(missing))
        return records.batch(batch_size // shard[1]).prefetch(2)

    def read(self, data: tf.Tensor) -> tf.Tensor:
        """The encoded image of a row's data."""
        return data

    def name(self, position: int) -> str:
        """The name of an image."""
        return self.record(position)[2]

    def record(self, position: int) -> tuple[bytes, int, str]:
        """The encoded image, label and name. Reads the file up to the image, which is slow."""
        file = int(np.searchsorted(self._first, position, side="right")) - 1
        with tf.device("CPU:0"):
            skipped = self._skip[file] + position - int(self._first[file])
            (serialized,) = (
                tf.data.TFRecordDataset(self._paths[file]).skip(skipped).take(1).as_numpy_iterator()
            )
        return _as_python(self._features.deserialize_example_np(serialized, decoders=_ENCODED))

    def _file(self, file):
        """Positions and records of a file."""
        records = tf.data.TFRecordDataset(
            tf.gather(tf.constant(self._paths), file), buffer_size=1 << 20
        )
        records = records.skip(tf.gather(tf.constant(self._skip, tf.int64), file))
        records = records.take(tf.gather(tf.constant(self._take, tf.int64), file))
        return records.enumerate(start=tf.gather(tf.constant(self._first), file))


_SOURCES = {"array_record": ArrayRecordSource, "tfrecord": TFRecordSource}


def _parser(builder):
    features = builder.info.features

    def parse(serialized):
        example = features.deserialize_example(serialized, decoders=_ENCODED)
        return example["image"], example["label"]

    return parse


def _as_python(example):
    name = example["file_name"]
    return (
        bytes(example["image"]),
        int(example["label"]),
        name.decode() if isinstance(name, bytes) else str(name),
    )
