"""MNIST and the sets in its format, from their authors' files and from TensorFlow Datasets."""

import dataclasses
import gzip
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_wn.data import datasets, idx
from keras_wn.errors import UsageError

DEBIAN = pathlib.Path("/usr/share/datasets/fashion-mnist")
COUNTS = (6000, 300)


@pytest.fixture
def small_sets(monkeypatch):
    """The sets, with few images in each."""
    for name, data in idx.SETS.items():
        monkeypatch.setitem(idx.SETS, name, dataclasses.replace(data, counts=(COUNTS,)))


def write_idx(folder, name, gzipped=False):
    """The authors' files, with random images. Returns images and labels to train, and to test."""
    data, generator, written = idx.SETS[name], np.random.default_rng(0), []
    for count, part in zip(data.counts[0], ("train", data.test), strict=True):
        images = generator.integers(0, 256, (count, 28, 28), dtype="uint8")
        labels = (data.first_label + np.arange(count) % data.classes).astype("uint8")
        for array, kind in ((images, "images-idx3-ubyte"), (labels, "labels-idx1-ubyte")):
            header = np.array(array.shape, ">u4").tobytes()
            content = bytes((0, 0, 8, array.ndim)) + header + array.tobytes()
            path = folder / f"{data.prefix}{part}-{kind}{'.gz' if gzipped else ''}"
            path.write_bytes(gzip.compress(content, 1) if gzipped else content)
        written.append((images, labels - data.first_label))
    return written


@pytest.mark.parametrize(
    "name, gzipped", [("fashion_mnist", True), ("kmnist", False), ("emnist_letters", False)]
)
def test_every_image_is_in_one_split_with_its_label(small_sets, tmp_path, name, gzipped):
    (train, train_labels), (test, test_labels) = write_idx(tmp_path, name, gzipped)
    splits = datasets.load(name, tmp_path, image_size=28)
    assert splits.classes == idx.SETS[name].classes and splits.image_shape == (28, 28, 1)
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [1000, 5000, 300]
    if name.startswith("emnist"):
        train, test = train.swapaxes(1, 2), test.swapaxes(1, 2)
    # Standardized by the images that are trained on, alike in all splits.
    pixels = splits.train.images
    assert abs(pixels.mean()) < 1e-5 and abs(pixels.std() - 1) < 1e-5
    scale, shift = np.polyfit(splits.test.images.ravel(), test.ravel(), 1)
    np.testing.assert_allclose(splits.test.images[..., 0] * scale + shift, test, atol=1e-3)
    np.testing.assert_array_equal(splits.test.labels, test_labels)
    shown = {image.tobytes(): label for image, label in zip(train, train_labels, strict=True)}
    for split in (splits.train, splits.validation):
        images = np.round(split.images[..., 0] * scale + shift).astype("uint8")
        for image, label in zip(images, split.labels, strict=True):
            assert shown.pop(image.tobytes()) == label
    assert not shown


def test_smaller_images_are_means_of_whole_pixels(small_sets, tmp_path):
    _, (test, _) = write_idx(tmp_path, "mnist")
    splits = datasets.load("mnist", tmp_path, image_size=14)
    means = test.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    found = splits.test.images[..., 0]
    np.testing.assert_allclose(found, (means - means.mean()) / means.std(), atol=0.02)
    for size in (8, 56):
        with pytest.raises(UsageError, match=f"--image_size={size} .*Allowed: 28, 14, 7, 4, 2, 1"):
            idx.load("mnist", tmp_path, size)


def test_validation_holds_as_many_of_each_class(small_sets, tmp_path):
    write_idx(tmp_path, "mnist")
    labels = datasets.load("mnist", tmp_path, image_size=28).validation.labels
    np.testing.assert_array_equal(np.bincount(labels), 500)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def lengthened(path):
    path.write_bytes(path.read_bytes() + b"0")


def with_a_label_too_large(path):
    path.write_bytes(path.read_bytes()[:-1] + bytes([10]))


def empty(path):
    path.write_bytes(b"")


def cut_in_the_header(path):
    path.write_bytes(path.read_bytes()[:6])


def of_other_shape(path):
    path.write_bytes(path.read_bytes()[:8] + b"\0\0\0\x1d" + path.read_bytes()[12:])


@pytest.mark.parametrize(
    "file, damage, message",
    [
        ("train-images", cut, "'train-images-idx3-ubyte' has 4703999 bytes .* Allowed: 4704000"),
        (
            "train-images",
            cut_in_the_header,
            "'train-images-idx3-ubyte' has 6 bytes. Allowed: a header of 16 bytes, and more.",
        ),
        (
            "train-labels",
            cut_in_the_header,
            "'train-labels-idx1-ubyte' has 6 bytes. Allowed: a header of 8 bytes, and more.",
        ),
        (
            "train-images",
            of_other_shape,
            r"'train-images-idx3-ubyte' says that its shape is \(6000, 29, 28\). Allowed: ",
        ),
        ("train-images", lengthened, "'train-images-idx3-ubyte' has more bytes .*: 4704000"),
        ("t10k-labels", empty, "'t10k-labels-idx1-ubyte' begins with nothing. Allowed: 00000801"),
        (
            "t10k-labels",
            with_a_label_too_large,
            "'t10k-labels-idx1-ubyte' has 300 labels, 0 to 10. Allowed: 300 labels, 0 to 9.",
        ),
        ("train-labels", pathlib.Path.unlink, "the file 'train-labels-idx1-ubyte' is missing"),
    ],
)
def test_a_damaged_file_is_named(small_sets, tmp_path, file, damage, message):
    write_idx(tmp_path, "mnist")
    damage(next(tmp_path.glob(f"{file}*")))
    with pytest.raises(UsageError, match=message) as error:
        datasets.load("mnist", tmp_path, image_size=28)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_images_of_one_gray_are_refused(small_sets, tmp_path):
    write_idx(tmp_path, "mnist")
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:16] + b"\x80" * (6000 * 28 * 28))
    with pytest.raises(UsageError, match="all pixels of the training images are 128. Allowed: "):
        datasets.load("mnist", tmp_path, 28)


def test_a_class_with_one_image_is_one_line(small_sets, tmp_path):
    write_idx(tmp_path, "mnist")
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:8] + bytes([1] + [2] * 5999))
    with pytest.raises(UsageError, match="the label 1 has 1 training image. Allowed: 2 or more."):
        datasets.load("mnist", tmp_path, 28)


def test_fewer_images_than_published_are_refused_unless_asked_for(tmp_path, monkeypatch):
    published = idx.SETS["mnist"]
    monkeypatch.setitem(idx.SETS, "mnist", dataclasses.replace(published, counts=((1200, 30),)))
    write_idx(tmp_path, "mnist")
    monkeypatch.setitem(idx.SETS, "mnist", published)
    with pytest.raises(
        UsageError,
        match=r"shape is \(1200, 28, 28\). Allowed: \(60000.*with --allow_partial, fewer",
    ):
        datasets.load("mnist", tmp_path, 28)
    splits = datasets.load("mnist", tmp_path, 28, allow_partial=True)
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [1100, 100, 30]
    assert splits.notes == (
        "Partial data (--allow_partial): the training part has 1,200 of 60,000 images, the test "
        "part has 30 of 10,000 images.",
    )


def test_gzipped_files_have_the_same_digest(small_sets, tmp_path):
    digests = set()
    for gzipped in (False, True):
        folder = tmp_path / str(gzipped)
        folder.mkdir()
        write_idx(folder, "mnist", gzipped)
        digests.add(datasets.load("mnist", folder, 28).digest)
    path = tmp_path / "False" / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert (
        len(digests) == 1 and datasets.load("mnist", tmp_path / "False", 28).digest not in digests
    )


@pytest.mark.parametrize(
    "one, other, message",
    [
        (
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "'train-images-idx3-ubyte' begins with 00000801. Allowed: 00000803, for images.",
        ),
        (
            "train-images-idx3-ubyte",
            "t10k-images-idx3-ubyte",
            r"'train-images-idx3-ubyte' says that its shape is \(300, 28, 28\). Allowed: \(6000, ",
        ),
    ],
)
def test_swapped_files_are_named(small_sets, tmp_path, one, other, message):
    write_idx(tmp_path, "mnist")
    (tmp_path / one).rename(tmp_path / "kept")
    (tmp_path / other).rename(tmp_path / one)
    (tmp_path / "kept").rename(tmp_path / other)
    with pytest.raises(UsageError, match=message):
        datasets.load("mnist", tmp_path, image_size=28)


def test_a_cut_gzipped_file_and_one_that_is_none_are_named(small_sets, tmp_path):
    write_idx(tmp_path, "mnist", gzipped=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"not gzipped", whole[:1000] + b"0" * 1000):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=f"'{path.name}' is cut or damaged"):
            datasets.load("mnist", tmp_path, image_size=28)


@pytest.mark.parametrize("name", ["fashion_mnist", "emnist_letters"])
def test_a_set_that_is_nowhere_says_both_ways_to_have_it(tmp_path, name):
    prepare = f"tfds build {idx.SETS[name].tfds} --data_dir={tmp_path}"
    prefix = idx.SETS[name].prefix
    other_way = (
        f"Or put the files {prefix}train-images-idx3-ubyte, .*, gzipped or not, in --data_dir."
    )
    with pytest.raises(UsageError, match=f"{prepare}. {other_way}") as error:
        datasets.load(name, tmp_path, image_size=28)
    assert ("Debian" in str(error.value)) == (name == "fashion_mnist")
    assert "\n" not in str(error.value)


def test_a_set_that_tensorflow_datasets_prepared_is_read():
    with tfds.testing.mock_data(num_examples=6000):
        splits = datasets.load("fashion_mnist", image_size=14, allow_partial=True)
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [5500, 500, 6000]
    assert splits.image_shape == (14, 14, 1)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="apt-get install dataset-fashion-mnist")
def test_the_files_that_debian_installs_are_read():
    splits = datasets.load("fashion_mnist", DEBIAN, image_size=14)
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [55000, 5000, 10000]
    np.testing.assert_array_equal(np.bincount(splits.test.labels), 1000)
    # The authors' README has the label 9, an ankle boot, for the first image.
    assert splits.test.labels[0] == 9
