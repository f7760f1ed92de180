import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_wn.data import image_folder as folders
from keras_wn.data.augment import Crop
from keras_wn.data.corrupt import CorruptImages
from keras_wn.errors import UsageError


def broken(data, kind):
    """The bytes of a file that is none."""
    return {
        "empty": b"",
        "text": b"<html>not found</html>",
        "truncated": data[: len(data) * 2 // 3],
        "no header": data[:30] + b"\xff\xd9",
        "no tables": data[:20] + data[300:],
    }[kind]


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "no header", "no tables"])
def test_a_broken_training_image_is_recorded_and_the_next_one_takes_its_place(
    image_folder, take, kind, jpeg_bytes
):
    splits = folders.load(image_folder, 32, None, max_corrupt=1)
    source = splits.train.source
    position = 4
    whole = take(splits.train.training_batches(24, 3, seed=0), 2)
    path = source.paths[position]
    with open(path, "wb") as file:
        file.write(broken(jpeg_bytes(4), kind))
    repaired = take(splits.train.training_batches(24, 3, seed=0), 2)
    assert splits.corrupt.names == [path]  # Once, in however many epochs.
    for (images, _), (new_images, _) in zip(whole, repaired, strict=True):
        changed = [i for i in range(24) if not np.array_equal(images[i], new_images[i])]
        assert len(changed) == 1
        copies = [i for i in range(24) if np.array_equal(new_images[i], new_images[changed[0]])]
        assert len(copies) == 2


def test_the_next_image_brings_its_label_and_the_last_is_followed_by_the_first(image_folder, take):
    splits = folders.load(image_folder, 32, "standard")
    for position in (7, 23):  # The last of the first class, and of all.
        open(splits.train.source.paths[position], "wb").close()
    (_, labels), *_ = take(splits.train.training_batches(24, 3, seed=0), 1)
    np.testing.assert_array_equal(labels.sum(axis=0), [7 + 1, 8 + 1, 7])


def test_resumed_and_shared_streams_are_equal_with_broken_images(image_folder, assert_stream):
    splits = folders.load(image_folder, 32)
    for position in (3, 4, 11):
        open(splits.train.source.paths[position], "wb").close()
    assert_stream(splits.train, batch_size=6, classes=3, steps=6, resumed_at=(2,))
    assert splits.corrupt.count == 3


def test_a_broken_evaluation_image_is_gray_and_counted(image_folder, take):
    splits = folders.load(image_folder, 32)
    path = splits.test.source.paths[5]
    open(path, "wb").close()
    images, labels = (
        np.concatenate(x)
        for x in zip(*take(splits.test.evaluation_batches(4, 3), None), strict=True)
    )
    assert not images[5].any() and images[4].any() and labels[5].argmax() == 1
    assert splits.corrupt.names == [path]
    assert splits.corrupt.summary().startswith(f"Images that cannot be decoded: 1: '{path}' (")


def test_a_batch_of_broken_images_only_is_still_a_batch(image_folder, take):
    splits = folders.load(image_folder, 32)
    for path in splits.test.source.paths[:4]:
        open(path, "wb").close()
    sizes = [len(images) for images, _ in take(splits.test.evaluation_batches(2, 3), None)]
    assert sizes == [2, 2, 2, 2, 1] and splits.corrupt.count == 4


def test_more_than_the_limit_end_the_run_with_their_names(image_folder, take):
    splits = folders.load(image_folder, 32, max_corrupt=1)
    for position in (2, 9):
        open(splits.train.source.paths[position], "wb").close()
    with pytest.raises(UsageError) as error, splits.corrupt.explained():
        take(splits.train.training_batches(24, 3, seed=0), 1)
    message = str(error.value)
    assert "\n" not in message and message.endswith("Allowed: at most --max_corrupt=1.")
    assert all(repr(splits.train.source.paths[position]) in message for position in (2, 9))


def empty_all(split):
    for path in split.source.paths:
        open(path, "wb").close()


@pytest.mark.parametrize(
    "read",
    [
        lambda splits: next(iter(splits.train.training_batches(8, 3, seed=0))),
        lambda splits: splits.train.sample(4, seed=0),
        lambda splits: list(splits.test.evaluation_batches(2, 3)),
        lambda splits: list(splits.test.evaluation_batches(9, 3, device_count=3)),
    ],
    ids=["training", "sample", "evaluation", "evaluation on several devices"],
)
def test_eight_broken_images_in_a_row_end_the_run_below_the_limit_too(image_folder, read):
    splits = folders.load(image_folder, 32, max_corrupt=100)
    empty_all(splits.train)
    empty_all(splits.test)
    with pytest.raises(UsageError, match="^8 images in a row cannot be decoded. Images") as error:
        with splits.corrupt.explained():
            read(splits)
    assert "\n" not in str(error.value) and 8 <= splits.corrupt.count <= 100


def test_broken_evaluation_images_that_are_not_in_a_row_do_not_end_the_run(image_folder, take):
    splits = folders.load(image_folder, 32)
    empty_all(splits.test)
    shutil.copy(splits.train.source.paths[0], splits.test.source.paths[4])
    assert len(take(splits.test.evaluation_batches(2, 3), None)) == 5
    assert splits.corrupt.count == 8


def test_an_image_of_more_pixels_than_allowed_is_named_with_the_flag(
    image_folder, take, jpeg_bytes
):
    splits = folders.load(image_folder, 32, max_pixels=100 * 48)
    for position, options in ((2, {}), (11, {"format": "PNG"})):
        with open(splits.train.source.paths[position], "wb") as file:
            file.write(jpeg_bytes(0, size=(101, 48), **options))
    take(splits.train.training_batches(24, 3, seed=0), 1)
    assert sorted(splits.corrupt.names) == [splits.train.source.paths[i] for i in (2, 11)]
    assert "(101x48 pixels. Allowed: at most --max_pixels=4800)" in splits.corrupt.summary()


def test_damaged_records_are_explained(tmp_path):
    path = str(tmp_path / "records")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(b"0" * 100)
    whole = (tmp_path / "records").read_bytes()
    for data in (whole[:-50], whole[:40] + b"1" + whole[41:]):
        (tmp_path / "records").write_bytes(data)
        with pytest.raises(UsageError, match="A file of records is damaged"):
            with CorruptImages().explained():
                list(tf.data.TFRecordDataset(path))


def test_other_errors_are_not_explained_away():
    with pytest.raises(tf.errors.NotFoundError), CorruptImages().explained():
        tf.io.read_file("/nowhere")


def test_a_file_that_vanishes_is_counted_with_the_reason(image_folder, take):
    splits = folders.load(image_folder, 32)
    pathlib.Path(splits.train.source.paths[2]).unlink()
    take(splits.train.training_batches(24, 3, seed=0), 1)
    assert "(No such file or directory)" in splits.corrupt.summary()


@pytest.mark.parametrize(
    "options", [{"format": "PNG"}, {"mode": "CMYK"}, {"mode": "L"}, {"progressive": True}]
)
def test_unusual_files_are_decoded(image_folder, take, jpeg_bytes, options):
    splits = folders.load(image_folder, 32, None)
    path = splits.test.source.paths[1]
    before = take(splits.test.evaluation_batches(9, 3), 1)[0][0]
    with open(path, "wb") as file:
        file.write(jpeg_bytes(101, size=(68, 48), **options))
    after = take(splits.test.evaluation_batches(9, 3), 1)[0][0]
    assert splits.corrupt.count == 0
    if "mode" not in options or options["mode"] == "CMYK":
        assert np.abs(after[1] - before[1]).mean() < 0.1
    assert after[1].std() > 0.1


def test_the_slow_way_shows_the_same_window(image_folder, take, jpeg_bytes, tmp_path):
    image = tf.io.decode_jpeg(jpeg_bytes(0))
    for augment in (None, "standard", "paper"):
        crop = Crop(32, augment)
        for number in range(6):
            number = tf.constant(number, tf.int64)
            fast, slow = (
                crop.decode(tf.constant(jpeg_bytes(0)), 1, number),
                crop.from_decoded(image, 1, number),
            )
            np.testing.assert_allclose(fast, slow, atol=0.3)


def test_limit_below_zero_is_refused():
    with pytest.raises(UsageError, match="--max_corrupt=-1: not allowed. Allowed: 0 or more."):
        CorruptImages(-1)
