import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_wn.data import cifar, datasets
from keras_wn.data.hold_out import hold_out
from keras_wn.errors import UsageError
from tests.data.binary_cifar import write_binary

STATISTICS = cifar.SETS["cifar10"].mean, cifar.SETS["cifar10"].std
MEAN, STD = (np.array(numbers) for numbers in STATISTICS)


@pytest.fixture
def mocked():
    with tfds.testing.mock_data(num_examples=40):
        yield


@pytest.mark.parametrize("name, classes", [("cifar10", 10), ("cifar100", 100)])
def test_splits_hold_each_image_once(mocked, name, classes):
    splits = cifar.load(name, augment=None, allow_partial=True)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [36, 4, 40]
    assert splits.classes == classes and splits.image_shape == (32, 32, 3)
    images = np.concatenate([splits.train.images, splits.validation.images])
    assert len(np.unique(images.reshape(40, -1), axis=0)) == 40


@pytest.mark.parametrize("augment, size", [("standard", 32), ("paper", 28), (None, 32)])
def test_streams_can_be_resumed_and_shared_out_bit_for_bit(
    mocked, assert_stream, assert_evaluation, augment, size
):
    splits = cifar.load("cifar10", augment=augment, allow_partial=True)
    whole = assert_stream(splits.train, batch_size=12, classes=10, steps=7, resumed_at=(1, 4))
    assert whole[0][0].shape == (12, size, size, 3) and splits.image_shape == (size, size, 3)
    assert_evaluation(splits.test, 10)
    images, labels = splits.train.sample(5, seed=1)
    assert images.shape == (5, size, size, 3) and labels.dtype == np.int32


@pytest.mark.parametrize("augment, padding", [("standard", 4), ("paper", 0)])
def test_augmented_images_are_windows_of_the_image_or_of_its_mirror(augment, padding):
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype="uint8")
    size = 32 - (augment == "paper") * 4
    whole = np.pad((image[0] - MEAN) / STD, [(padding, padding)] * 2 + [(0, 0)])
    shown = np.asarray(
        cifar._augment(
            np.repeat(image, 200, axis=0),
            np.random.default_rng(0).random((200, 3), "float32"),
            STATISTICS,
            size,
            augment,
        )
    )
    found = set()
    margin = whole.shape[0] - size
    for x in shown:
        places = [
            (top, left, mirrored)
            for top in range(margin + 1)
            for left in range(margin + 1)
            for mirrored in (1, -1)
            if np.allclose(whole[top : top + size, left : left + size][:, ::mirrored], x, atol=1e-4)
        ]
        assert len(places) == 1
        found.add(places[0])
    assert {mirrored for *_, mirrored in found} == {1, -1}
    assert {top for top, *_ in found} == {left for _, left, _ in found} == set(range(margin + 1))


def test_evaluation_of_the_paper_shows_the_middle(mocked, take):
    splits = cifar.load("cifar10", augment="paper", allow_partial=True)
    images, _ = take(splits.test.evaluation_batches(40, 10), 1)[0]
    middle = (splits.test.images[:, 2:30, 2:30] - MEAN) / STD
    np.testing.assert_allclose(images, middle, atol=1e-5)


def test_held_out_images_are_of_each_class_in_equal_share():
    labels = np.arange(50_000) % 100
    kept, held_out = hold_out(labels, 5000)
    assert len(held_out) == 5000 and len(set(kept) | set(held_out)) == 50_000
    np.testing.assert_array_equal(np.bincount(labels[held_out]), 50)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_unprepared_set_is_not_downloaded(tmp_path, name):
    with pytest.raises(
        UsageError, match=f"{name} is not prepared. Prepare it with: tfds build {name} --data_dir="
    ):
        datasets.load(name, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_authors_binary_files_are_read(tmp_path, name):
    *train, test = write_binary(tmp_path, name, 20)
    splits = datasets.load(name, tmp_path, allow_partial=True)
    np.testing.assert_array_equal(splits.test.images, test[0])
    np.testing.assert_array_equal(splits.test.labels, test[1])
    images = np.concatenate([images for images, _ in train])
    labels = np.concatenate([labels for _, labels in train])
    shown = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert len(splits.train) + len(splits.validation) == len(images)
    for part in (splits.train, splits.validation):
        for image, label in zip(part.images, part.labels, strict=True):
            assert shown.pop(image.tobytes()) == label
    assert not shown


def test_damaged_binary_files_are_refused(tmp_path):
    write_binary(tmp_path, "cifar10", 20)
    folder = tmp_path / "cifar-10-batches-bin"
    whole = (folder / "test_batch.bin").read_bytes()
    (folder / "test_batch.bin").write_bytes(whole[:-1])
    with pytest.raises(UsageError, match="'test_batch.bin' has 61459 bytes. Allowed: a multiple"):
        datasets.load("cifar10", tmp_path, allow_partial=True)
    (folder / "test_batch.bin").write_bytes(b"\x0a" + whole[1:])
    with pytest.raises(UsageError, match="'test_batch.bin' has the label 10. Allowed: 0 to 9."):
        datasets.load("cifar10", tmp_path)
    (folder / "test_batch.bin").unlink()
    with pytest.raises(UsageError, match="the file 'test_batch.bin' is missing."):
        datasets.load("cifar10", tmp_path)


def test_a_part_of_the_files_is_refused_unless_it_is_asked_for(tmp_path):
    write_binary(tmp_path, "cifar10", 20)
    with pytest.raises(
        UsageError,
        match="not the data that were published: 'data_batch_1.bin' has 20 of 10,000 images, .* "
        "and 1 more. Allowed: all of them, or another number with --allow_partial.",
    ):
        datasets.load("cifar10", tmp_path)
    notes = datasets.load("cifar10", tmp_path, allow_partial=True).notes
    assert len(notes) == 1 and notes[0].startswith("Partial data (--allow_partial): 'data_batch_1")


def test_files_of_the_published_size_are_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "_RECORDS", {"data_batch": 20, "test": 20})
    write_binary(tmp_path, "cifar10", 20)
    splits = datasets.load("cifar10", tmp_path)
    assert splits.notes == () and len(splits.train) == 90
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_2.bin"
    path.write_bytes(path.read_bytes() + path.read_bytes()[:3073])
    with pytest.raises(UsageError, match="'data_batch_2.bin' has more than 61460 bytes"):
        datasets.load("cifar10", tmp_path, allow_partial=True)


def test_fewer_images_from_tensorflow_datasets_are_refused(mocked):
    with pytest.raises(UsageError, match="the training part has 40 of 50,000 images, the test"):
        cifar.load("cifar100")


def test_the_digest_is_of_the_images(tmp_path):
    write_binary(tmp_path, "cifar10", 20)
    first = datasets.load("cifar10", tmp_path, allow_partial=True).digest
    path = tmp_path / "cifar-10-batches-bin" / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"0")
    assert datasets.load("cifar10", tmp_path, allow_partial=True).digest != first


def test_images_of_one_color_and_too_few_images_are_refused(tmp_path):
    write_binary(tmp_path, "cifar10", 20)
    folder = tmp_path / "cifar-10-batches-bin"
    for path in folder.iterdir():
        path.write_bytes((b"\1" + b"\7" * 3072) * 20)
    with pytest.raises(UsageError, match="all pixels of the training images are 7. Allowed"):
        datasets.load("cifar10", tmp_path, allow_partial=True)


def test_a_class_with_one_image_cannot_be_held_out():
    labels = np.append(np.zeros(1000, int), 1)
    with pytest.raises(UsageError, match="the label 1 has 1 training image. Allowed: 2 or more."):
        hold_out(labels, 100, "DIR")
    for count, total in ((1, 1), (5, 5), (5, 1200), (1195, 1200)):
        with pytest.raises(UsageError, match=f"--data_dir=DIR: {total} training images of .* too"):
            hold_out(np.arange(total) % 10, count, "DIR")


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="--dataset=cifar: no CIFAR. Allowed: cifar10, cifar100."):
        cifar.load("cifar")
    with pytest.raises(UsageError, match="--augment=mixup: unknown. Allowed: standard, paper."):
        cifar.load("cifar10", augment="mixup")
