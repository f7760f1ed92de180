"""A small set as TensorFlow Datasets prepares it, damaged in many ways: one line for each."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_wn.data import datasets
from keras_wn.errors import UsageError

IMAGE = (28, 28, 1)


def prepare(folder, image=IMAGE, label=(), names=("image", "label"), largest=9):
    """MNIST of 240 and 30 random images."""
    features = tfds.features.FeaturesDict(
        {
            names[0]: tfds.features.Image(shape=image),
            names[1]: tfds.features.Tensor(shape=label, dtype=np.int64),
        }
    )

    def part(count):
        generator = np.random.default_rng(count)
        images = generator.integers(0, 256, (count, *image), "uint8")
        labels = np.broadcast_to(
            (np.arange(count) % (largest + 1)).reshape(-1, *[1] * len(label)), (count, *label)
        )
        return tf.data.Dataset.from_tensor_slices({names[0]: images, names[1]: labels})

    tfds.dataset_builders.store_as_tfds_dataset(
        name="mnist",
        version="3.0.1",
        features=features,
        split_datasets={"train": part(240), "test": part(30)},
        data_dir=folder,
    )
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("mnist"))


@pytest.fixture
def copy(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "copy")
    return tmp_path / "copy"


def version(folder):
    return folder / "mnist" / "3.0.1"


def load(folder):
    return datasets.load("mnist", folder, 28, allow_partial=True)


def test_a_set_is_read(prepared):
    splits = load(prepared)
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [220, 20, 30]
    assert splits.notes[0].startswith("Partial data (--allow_partial): the training part has 240")


def change(**values):
    """Changes values of dataset_info.json."""
    return lambda data: json.dumps({**json.loads(data), **values}).encode()


def change_split(**values):
    """Changes values of the last split in dataset_info.json."""

    def edit(data):
        record = json.loads(data)
        record["splits"][-1].update(values)
        return json.dumps(record).encode()

    return edit


INFO, RECORDS = "dataset_info.json", "mnist-train.tfrecord-00000-of-00001"
DAMAGE = [
    *[
        (INFO, lambda data, content=content: content)
        for content in (b"", b"[]", b"{}", b"null", b"1", b"\xff\xfe", b'{"a": 1}', b"[" * 9999)
    ],
    (INFO, lambda data: data[:60]),
    (INFO, lambda data: data[:-40]),
    (INFO, change(splits=[])),
    (INFO, change(splits=1)),
    (INFO, change(fileFormat="csv")),
    (INFO, change(version="x")),
    (INFO, change(name=[])),
    *[
        (INFO, change_split(shardLengths=lengths))
        for lengths in ([], ["9999"], ["12"], ["-5"], ["x"], ["15", "15"], [str(2**70)])
    ],
    (INFO, change_split(name="training")),
    (RECORDS, lambda data: b""),
    (RECORDS, lambda data: data[: len(data) // 2]),
    (RECORDS, lambda data: data[:1000] + b"x" + data[1001:]),
    (RECORDS, lambda data: data + data),
]


@pytest.mark.parametrize("number", range(len(DAMAGE)))
def test_a_damaged_file_is_one_line(copy, number):
    file, damage = DAMAGE[number]
    path = version(copy) / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match=f"^--data_dir={copy}: ") as error:
        load(copy)
    assert "\n" not in str(error.value) and "tfds build mnist" in str(error.value)


@pytest.mark.parametrize("file", [INFO, RECORDS])
@pytest.mark.parametrize("make", ["folder", "fifo", "missing"])
def test_what_is_no_file_is_one_line(copy, file, make):
    path = version(copy) / file
    path.unlink()
    if make == "folder":
        path.mkdir()
    if make == "fifo":
        os.mkfifo(path)
    with pytest.raises(UsageError, match=f"^--data_dir={copy}: "):
        load(copy)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"largest": 10}, "labels are 0 to 10 and not 0 to 9"),
        ({"image": (14, 14, 1)}, "mnist"),
        ({"label": (2,)}, "mnist"),
        ({"names": ("picture", "label")}, "mnist"),
        ({"names": ("image", "target")}, "mnist"),
    ],
)
def test_other_images_and_labels_are_refused(tmp_path, options, message):
    with pytest.raises(UsageError, match=message) as error:
        load(prepare(tmp_path, **options))
    assert "\n" not in str(error.value)
