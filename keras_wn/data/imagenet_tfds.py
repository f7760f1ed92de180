"""Reads ImageNet as TensorFlow Datasets prepared it, in array_record or in tfrecord form."""

import os
import pathlib
import re

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_wn.data import digest, partial, reading
from keras_wn.data.augment import Crop
from keras_wn.data.corrupt import CorruptImages
from keras_wn.data.encoded import (
    EncodedImages,
    evaluation_positions,
    evaluation_share,
    shuffled,
    training_positions,
)
from keras_wn.data.reading import MAX_PIXELS
from keras_wn.data.splits import Splits, own_rows, steps_in_epoch

NAME = "imagenet2012"
CLASSES = 1000
# Split of TFDS -> images that were published.
IMAGES = {"train": 1_281_167, "validation": 50_000}
_HELD_OUT = 10_000  # Training images for validation; 1 % of a smaller set.
_SHOWN = 5  # Names in a message.
# Records that are shuffled among themselves. They are 0.45 GB of ImageNet, and two such windows are
# in memory while the next one is read.
WINDOW = 4096
_FILES_AT_ONCE = 16
_FRAME_BYTES = 16  # Length and checksums of a record in a tfrecord file.
_ENCODED = {"image": tfds.decode.SkipDecoding()}


def load(
    data_dir: str | pathlib.Path,
    image_size: int = 224,
    augment: str = "standard",
    max_corrupt: int = 100,
    max_pixels: int = MAX_PIXELS,
    allow_partial: bool = False,
) -> Splits:
    """ImageNet's 1,281,167 training and 50,000 validation images in tfrecord or array_record form.

    `test` is what ImageNet calls its validation images. Choosing anything on the test images is not
    allowed in this project: `validation` is the first 10,000 training records, which TFDS
    shuffles in the same way on every machine; they are not trained on.

    Args:
        data_dir: Folder of TFDS, which holds `imagenet2012/`.
        image_size: Positive integer, height and width.
        augment: `"standard"` or `"paper"`, see `Crop`.
        max_corrupt: Number of images that cannot be decoded and that a run skips.
        max_pixels: Pixels of the largest image that is decoded.
        allow_partial: Whether another number of images than was published is allowed.

    Returns:
        `Splits`.

    Raises:
        UsageError: If the set is not prepared or in part only, or is damaged.
    """
    root = pathlib.Path(data_dir)
    folder = _prepared_folder(root)
    corrupt = CorruptImages(max_corrupt)
    crops = Crop(image_size, None, max_pixels), Crop(image_size, augment, max_pixels)
    with reading.prepared_by_tfds(data_dir, folder, how_to_prepare(root)):
        builder = tfds.builder_from_directory(folder)
        files = _check(builder, root)
        found = {
            f"the {name} split": (builder.info.splits[name].num_examples, [count])
            for name, count in IMAGES.items()
        }
        notes = partial.check(data_dir, found, allow_partial)
        held_out = max(1, min(_HELD_OUT, builder.info.splits["train"].num_examples // 100))
        source = _SOURCES[builder.info.file_format.value]
        sources = [
            source(builder, split, corrupt)
            for split in (f"train[{held_out}:]", f"train[:{held_out}]", "validation")
        ]
        # A record that does not fit the description of the set raises here, and not in training.
        for part in sources:
            part.record(0)
    return Splits(
        NAME,
        *(EncodedImages(part, *crops, corrupt) for part in sources),
        classes=CLASSES,
        digest=digest.of_lines(
            b"%b %d %d" % (path.name.encode(), path.stat().st_size, count) for path, count in files
        ),
        notes=notes,
        corrupt=corrupt,
    )


def how_to_prepare(data_dir: pathlib.Path) -> str:
    """A sentence for messages that says how to prepare ImageNet in a folder."""
    return (
        "Lay ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar in "
        f"{reading.printable(data_dir / 'downloads' / 'manual')} and run with --prepare."
    )


def versions(data_dir: pathlib.Path) -> list[pathlib.Path]:
    """The folders of the versions that are prepared, the newest last."""
    return sorted(
        (
            path
            for path in _entries(data_dir)
            if re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", path.name)
            and os.path.lexists(path / "dataset_info.json")
        ),
        key=lambda path: [int(part) for part in path.name.split(".")],
    )


def _entries(data_dir):
    folder = data_dir / NAME
    try:
        return sorted(folder.iterdir()) if os.path.isdir(folder) else []
    except OSError as error:
        raise reading.fault(
            data_dir,
            f"{NAME}/ cannot be read ({reading.reason(error)}). Allowed: readable folders.",
        ) from error


def _prepared_folder(data_dir):
    """The newest version that is prepared."""
    if prepared := versions(data_dir):
        return prepared[-1]
    how = how_to_prepare(data_dir)
    if entries := _entries(data_dir):
        names = ", ".join(repr(path.name) for path in entries[:_SHOWN])
        raise reading.fault(
            data_dir,
            f"{NAME}/ is prepared in part only: it holds {names} and no version with a "
            f"dataset_info.json. Allowed: a finished one. {how}",
        )
    raise reading.fault(data_dir, f"{NAME}/ is not prepared. {how}")


def _check(builder, data_dir):
    """Refuses a set that is not as TFDS prepares it. Returns its files with their records."""
    how = f"Delete {builder.data_dir}. {how_to_prepare(data_dir)}"
    if missing := [name for name in IMAGES if name not in builder.info.splits]:
        raise reading.fault(
            data_dir,
            f"{NAME}/ has no {' and no '.join(missing)} split: a tar was missing when it was "
            f"prepared. {how}",
        )
    if (form := builder.info.file_format.value) not in _SOURCES:
        raise reading.fault(data_dir, f"{NAME}/ is in {form} form. Allowed: {', '.join(_SOURCES)}.")
    if (classes := builder.info.features["label"].num_classes) != CLASSES:
        raise reading.fault(data_dir, f"{NAME}/ has {classes} classes. Allowed: {CLASSES}. {how}")
    splits = [builder.info.splits[name] for name in IMAGES]
    files = [
        pair
        for split in splits
        for pair in zip(map(pathlib.Path, split.filepaths), split.shard_lengths, strict=True)
    ]
    missing = [path.name for path, _ in files if not path.exists()]
    if missing:
        shown = ", ".join(map(repr, missing[:_SHOWN])) + (
            " and more" if len(missing) > _SHOWN else ""
        )
        raise reading.fault(
            data_dir,
            f"{len(missing)} of {len(files)} files are missing in {builder.data_dir}: {shown}. "
            f"Allowed: all. Copy them again, or delete the folder. {how_to_prepare(data_dir)}",
        )
    for split in splits:
        _SOURCES[form].check(split)
    return files


def synsets() -> set[str]:
    """The names of ImageNet's classes."""
    return set(tfds.core.tfds_path("datasets/imagenet2012/labels.txt").read_text().split())


def build(data_dir: pathlib.Path, file_format: str, tars: pathlib.Path) -> None:
    """Prepares ImageNet in `data_dir`.

    Args:
        data_dir: `pathlib.Path`.
        file_format: `"array_record"` or `"tfrecord"`.
        tars: Folder with the two tars.

    Raises:
        UsageError: If the folder of the version is not empty.
        Exception: Whatever TFDS raises if a tar is damaged.
    """
    builder = tfds.builder(NAME, data_dir=data_dir, file_format=file_format)
    _make_room(data_dir, pathlib.Path(builder.data_dir))
    config = tfds.download.DownloadConfig(manual_dir=tars)
    builder.download_and_prepare(download_config=config)


def _make_room(root, folder):
    """Removes the empty folder of a version, which TFDS would take for a prepared one."""
    if not os.path.lexists(folder):
        return
    try:
        folder.rmdir()
    except OSError as error:
        raise reading.fault(
            root,
            f"{str(folder)!r} has no dataset_info.json and is not empty ({reading.reason(error)}). "
            "Allowed: no such folder. Delete it, or copy it anew.",
        ) from error


class ArrayRecordSource:
    """Reads records of array_record files, in any order.

    Args:
        builder: `tfds.core.DatasetBuilder` of a set prepared in array_record form.
        split: String, as TFDS takes it: `"train[10000:]"`.
        corrupt: `CorruptImages`, by which a damaged file ends the run.
    """

    @staticmethod
    def check(split: tfds.core.SplitInfo) -> None:
        """Raises `ValueError` if a file of a split has other records than its description says."""
        # Not every platform has this package, which only these files need.
        from array_record.python.array_record_module import ArrayRecordReader

        for path, expected in zip(split.filepaths, split.shard_lengths, strict=True):
            if (count := ArrayRecordReader(str(path)).num_records()) != expected:
                raise ValueError(f"{path.name} has {count} records and not {expected}")

    def __init__(self, builder, split, corrupt):
        self._corrupt = corrupt
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
        self, batch_size: int, device_count: int, shard: tuple[int, int]
    ) -> tf.data.Dataset:
        """As `FileSource.evaluation_rows`."""
        positions = evaluation_positions(len(self), batch_size, device_count, shard)
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
            chosen = np.maximum(positions, 0).tolist()
            try:
                return np.array(self._records.data_source.__getitems__(chosen), dtype=object)
            # Of an error in a pipeline, TensorFlow keeps the text alone.
            except Exception as error:
                self._corrupt.end(
                    f"A file of records is damaged ({reading.first_line(error)}). Allowed: "
                    "files as they were prepared."
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
        corrupt: Not used: an error of TensorFlow tells of a damaged file.
    """

    @staticmethod
    def check(split: tfds.core.SplitInfo) -> None:
        """Raises `ValueError` if a split's files have another size than its description says."""
        size = sum(os.path.getsize(path) for path in split.filepaths)
        expected = split.num_bytes + _FRAME_BYTES * split.num_examples
        if size != expected:
            raise ValueError(f"the {split.name} files have {size} bytes and not {expected}")

    def __init__(self, builder, split, corrupt):
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
        self, batch_size: int, device_count: int, shard: tuple[int, int]
    ) -> tf.data.Dataset:
        """As `FileSource.evaluation_rows`."""
        is_own, missing = evaluation_share(len(self), batch_size, device_count, shard)
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
