import os
import shutil

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from PIL import Image

from keras_wn.data import image_folder as folders
from keras_wn.data.encoded import mixup_share
from keras_wn.errors import UsageError
from tests.data.other_user import message_of
from tests.data.test_reading import (
    bound_socket,
    device,
    fifo,
    itself,
    nowhere,
)


@pytest.mark.parametrize("augment", ["standard", "paper"])
def test_streams_can_be_resumed_and_shared_out_bit_for_bit(image_folder, assert_stream, augment):
    splits = folders.load(image_folder, 32, augment)
    whole = assert_stream(splits.train, batch_size=8, classes=3, steps=7, resumed_at=(1, 3, 5))
    # Each epoch of 3 steps: every image once, drawn anew.
    for epoch in (whole[:3], whole[3:6]):
        np.testing.assert_array_equal(sum(labels.sum(axis=0) for _, labels in epoch), [8, 8, 8])
    images = np.concatenate([images for images, _ in whole[:6]])
    assert len(np.unique(images.reshape(48, -1), axis=0)) == 48


def test_every_image_is_scored_once_for_awkward_sizes(image_folder, assert_evaluation):
    splits = folders.load(image_folder, 32)
    _, labels = assert_evaluation(splits.test, 3)
    np.testing.assert_array_equal(labels.argmax(axis=1), np.repeat([0, 1, 2], 3))


def test_splits_have_no_image_in_common_and_hold_out_one_of_each_class(image_folder):
    splits = folders.load(image_folder, 32)
    sources = [part.source.paths for part in (splits.train, splits.validation, splits.test)]
    assert [len(paths) for paths in sources] == [24, 3, 9]
    assert len({path for paths in sources for path in paths}) == 36
    assert splits.validation.source.labels == [0, 1, 2]
    assert all("/val/" in path for path in sources[2]) and not any(
        "/val/" in path for path in sources[1]
    )
    assert sources[1] == folders.load(image_folder, 32).validation.source.paths
    assert splits.image_shape == (32, 32, 3) and splits.classes == 3


def test_sample_shows_images_as_trained_on(image_folder, take):
    train = folders.load(image_folder, 32).train
    images, labels = train.sample(8, seed=5)
    batch = take(train.training_batches(8, 3, seed=5), 1)[0]
    np.testing.assert_array_equal(images, batch[0])
    np.testing.assert_array_equal(labels, batch[1].argmax(axis=1))
    with pytest.raises(UsageError, match="A sample of 25 images. Allowed: 1 to 24."):
        train.sample(25, seed=5)


def test_mixup_mixes_the_batch_with_itself_by_one_share_and_resumes(image_folder, take):
    train = folders.load(image_folder, 32).train
    plain = take(train.training_batches(8, 3, seed=5), 3)
    mixed = take(train.training_batches(8, 3, seed=5, mixup=1.0), 3)
    for (images, labels), (mixed_images, mixed_labels) in zip(plain, mixed, strict=True):
        others = np.roll(labels, -1, axis=0)
        row = np.argmax(np.abs(labels - others).sum(axis=1))
        share = mixed_labels[row] @ labels[row]
        for found, one, other in (
            (mixed_labels, labels, others),
            (mixed_images, images, np.roll(images, -1, axis=0)),
        ):
            np.testing.assert_allclose(found, share * one + (1 - share) * other, atol=1e-4)
    rest = take(train.training_batches(8, 3, seed=5, first_step=1, mixup=1.0), 2)
    for one, other in zip(mixed[1:], rest, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("mixup", [1e-300, 0.01, 0.4, 1.0, 8.0])
def test_shares_of_mixup_follow_the_beta_distribution(mixup):
    steps = tf.data.Dataset.range(4000)
    shares = np.array(list(steps.map(lambda step: mixup_share(mixup, 3, step))))
    expected = np.random.default_rng(0).beta(mixup, mixup, 4000)
    assert scipy.stats.ks_2samp(shares, expected).pvalue > 0.01
    for found in (shares, expected):
        assert np.mean(np.abs(found - 0.5) < 0.1) < 0.01 or mixup > 0.01


def test_missing_folder_is_named(image_folder):
    shutil.rmtree(image_folder / "val")
    with pytest.raises(UsageError, match="no folder val/. Allowed: train/ and val/"):
        folders.load(image_folder)


def test_one_class_is_refused(image_folder):
    for part in ("train", "val"):
        for name in ("bee", "cat"):
            shutil.rmtree(image_folder / part / name)
    with pytest.raises(UsageError, match=r"train/ has 1 class folder\(s\). Allowed: 2 or more."):
        folders.load(image_folder)


@pytest.mark.parametrize("part", ["train", "val"])
def test_other_classes_in_val_are_named(image_folder, part):
    (image_folder / part / "bee").rename(image_folder / part / "wasp")
    with pytest.raises(
        UsageError,
        match="val/ lacks 1 of the class folders: '(bee|wasp)'. Allowed: the same classes",
    ):
        folders.load(image_folder)


def test_empty_class_is_named(image_folder):
    for path in (image_folder / "val" / "bee").iterdir():
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(UsageError, match="val/ has too few images in 'bee'. Allowed: 1 or more"):
        folders.load(image_folder)


@pytest.mark.parametrize("make", [nowhere, itself], ids=["nowhere", "itself"])
def test_links_that_lead_to_no_image_are_named(image_folder, make):
    make(image_folder / "train" / "cat" / "gone.JPEG")
    with pytest.raises(
        UsageError, match="files that may not be read: '.*gone.JPEG'. Allowed: readable files."
    ):
        folders.load(image_folder)


def test_files_without_permission_are_named(open_folder, image_folder):
    shutil.copytree(image_folder, open_folder / "images")
    root = open_folder / "images"
    (root / "train" / "cat" / "cat_3.JPEG").chmod(0)
    kind, message = message_of(lambda: folders.load(root))
    assert kind == "UsageError" and "files that may not be read: '" in message
    assert "cat_3.JPEG'. Allowed: readable files." in message
    (root / "train" / "bee").chmod(0)
    kind, message = message_of(lambda: folders.load(root))
    assert kind == "UsageError" and "train/bee may not be read (Permission denied)" in message
    (root / "train").chmod(0o400)
    kind, message = message_of(lambda: folders.load(root))
    assert kind == "UsageError" and "(Permission denied)" in message


def test_all_that_is_not_read_is_counted_in_one_line(image_folder):
    cat = image_folder / "train" / "cat"
    assert folders.load(image_folder).notes == ()
    (cat / "._cat_1.JPEG").write_bytes(b"")
    (cat / ".DS_Store").write_bytes(b"")
    (cat / "README").write_text("")
    (cat / "a.txt").write_text("")
    (image_folder / "val" / "cat" / "b.TXT").write_text("")
    fifo(cat / "x.jpg")
    device(cat / "zero.png")
    bound_socket(cat / "s.jpg")
    nowhere(cat / "nowhere")
    (image_folder / "train" / ".cache").mkdir()
    (image_folder / "train" / "loop").symlink_to("..")
    shutil.copy(cat / "cat_0.JPEG", image_folder / "train" / "cover.jpg")
    (cat / "folder.jpg").mkdir()  # A folder is none by its name.
    splits = folders.load(image_folder)
    assert len(splits.train) == 24 and splits.classes == 3
    assert splits.notes == (
        "Left out: 9 files that are not images (.txt 2, .DS_Store 1, hidden .jpeg 1, without a "
        "suffix 1, link that leads nowhere 1, others 3), 1 image outside of the class folders "
        "(.jpg 1), 2 folders (hidden 1, link to a folder that is read already 1).",
    )


@pytest.mark.parametrize("make", [fifo, bound_socket, device])
def test_special_files_do_not_hang_the_reader(image_folder, make, take):
    make(image_folder / "train" / "cat" / "x.jpg")
    make(image_folder / "val" / "x.jpg")
    splits = folders.load(image_folder, 32)
    assert len(take(splits.train.training_batches(24, 3, seed=0), 1)[0][0]) == 24


@pytest.mark.parametrize(
    "suffix", ["gif", "webp", "bmp", "tiff", "tif", "png", "PNG", "Jpg", "jpe", "ppm", "GIF"]
)
def test_images_of_other_formats_are_read(image_folder, take, suffix):
    path = image_folder / "val" / "bee" / "bee_1.JPEG"
    before = take(folders.load(image_folder, 32).test.evaluation_batches(9, 3), 1)[0][0]
    with Image.open(path) as image:
        image.save(path.with_suffix(f".{suffix}"))
    path.unlink()
    splits = folders.load(image_folder, 32)
    after = take(splits.test.evaluation_batches(9, 3), 1)[0][0]
    assert splits.corrupt.count == 0 and splits.notes == () and len(splits.test) == 9
    # By the mean, because a GIF has few colors.
    np.testing.assert_allclose(after.mean(axis=(1, 2)), before.mean(axis=(1, 2)), atol=0.1)


def test_images_in_subfolders_are_read_in_order_and_once(image_folder, take):
    flat = folders.load(image_folder, 32)
    cat = image_folder / "train" / "cat"
    (cat / "a" / "b").mkdir(parents=True)
    (cat / "a" / "cat_1.JPEG").write_bytes((cat / "cat_1.JPEG").read_bytes())
    (cat / "a" / "b" / "cat_2.JPEG").write_bytes((cat / "cat_2.JPEG").read_bytes())
    (cat / "a" / "b" / "up").symlink_to(cat)
    (cat / "other").symlink_to(image_folder / "train" / "ant")
    (image_folder / "train" / "ant" / "back").symlink_to(cat / "other")
    splits = folders.load(image_folder, 32)
    names = [file.name for file in folders.list_images(image_folder, "train").classes["cat"]]
    assert names == sorted(names) and len(names) == 9 + 2 + 9
    assert names[:2] == ["a/b/cat_2.JPEG", "a/cat_1.JPEG"] and "other/ant_0.JPEG" in names
    assert len(splits.train) == len(flat.train) + 11
    assert splits.notes == ("Left out: 3 folders (link to a folder that is read already 3).",)


def test_names_need_not_be_text(image_folder, take, jpeg_bytes):
    for part in ("train", "val"):
        folder = os.fsencode(image_folder / part)
        for name in (b"caf\xe9", b"line\nline\x1b[31m"):
            os.mkdir(os.path.join(folder, name))
            for file in (b"\xff.jpg", b"\t.jpg"):
                with open(os.path.join(folder, name, file), "wb") as image:
                    image.write(jpeg_bytes(0))
    with open(os.path.join(folder, b"caf\xe9", b"\xff.jpg"), "wb"):
        pass
    with open(os.path.join(folder, b"caf\xe9", b"a.\xfe"), "wb"):
        pass
    splits = folders.load(image_folder, 32)
    assert splits.classes == 5 and splits.notes[0].isprintable()
    take(splits.train.training_batches(26, 5, seed=0), 1)
    take(splits.test.evaluation_batches(13, 5), None)
    assert splits.corrupt.count == 1 and splits.corrupt.summary().isprintable()
    shutil.rmtree(os.path.join(folder, b"line\nline\x1b[31m"))
    with pytest.raises(UsageError, match="val/ lacks 1 of the class folders") as error:
        folders.load(image_folder)
    assert str(error.value).isprintable()


def held_out(root):
    return [os.path.relpath(path, root) for path in folders.load(root).validation.source.paths]


def test_held_out_images_are_chosen_by_their_names(image_folder, tmp_path, jpeg_bytes):
    before = held_out(image_folder)
    shutil.move(image_folder, tmp_path / "elsewhere")
    assert held_out(tmp_path / "elsewhere") == before
    bee = tmp_path / "elsewhere" / "train" / "bee"
    for number in range(30):  # Names before, between and after the others.
        (bee / f"{'abz'[number % 3]}{number}.jpg").write_bytes(b"")
        after = held_out(tmp_path / "elsewhere")
        # A new image takes the place of another at most, and in its own class.
        assert after[0] == before[0] and after[2] == before[2]
        assert after[1] == before[1] or after[1] == f"train/bee/{'abz'[number % 3]}{number}.jpg"
        before = after


def test_one_percent_of_a_large_class_is_held_out(image_folder):
    for number in range(391):
        (image_folder / "train" / "ant" / f"{number}.jpg").write_bytes(b"")
    before = held_out(image_folder)
    assert len(before) == 4 + 1 + 1
    (image_folder / "train" / "ant" / "one_more.jpg").write_bytes(b"")
    assert len(set(before) - set(held_out(image_folder))) <= 1


def test_the_digest_is_of_names_and_sizes_in_any_place(image_folder, tmp_path):
    first = folders.load(image_folder).digest
    path = image_folder / "train" / "cat" / "cat_1.JPEG"
    data = path.read_bytes()
    digests = set()
    for content, name in ((data[:-1], "cat_1.JPEG"), (data, "cat_10.JPEG"), (b"", "cat_1.txt")):
        path.unlink()
        path.with_name(name).write_bytes(content)
        digests.add(folders.load(image_folder).digest)
        path.with_name(name).unlink()
        path.write_bytes(data)
    assert len(digests) == 3 and first not in digests
    (image_folder / "train" / "cat" / "notes.txt").write_text("")
    shutil.copytree(image_folder, tmp_path / "elsewhere")
    assert folders.load(tmp_path / "elsewhere").digest == first
    (image_folder / "val" / "cat" / "cat_1.JPEG").rename(image_folder / "val" / "bee" / "x.JPEG")
    assert folders.load(image_folder).digest != first


def test_a_class_with_one_image_is_named(image_folder):
    for path in sorted((image_folder / "train" / "bee").iterdir())[1:]:
        path.unlink()
    with pytest.raises(UsageError, match="train/ has too few images in 'bee'. Allowed: 2 or more"):
        folders.load(image_folder)
