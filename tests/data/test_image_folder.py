import os
import shutil

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from keras_wn.data import image_folder as folders
from keras_wn.data.encoded import mixup_share
from keras_wn.training.errors import UsageError


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


def test_files_that_lead_nowhere_are_named(image_folder):
    (image_folder / "train" / "cat" / "gone.JPEG").symlink_to("/nowhere")
    with pytest.raises(
        UsageError, match="files that may not be read: '.*gone.JPEG'. Allowed: readable files."
    ):
        folders.load(image_folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_without_permission_are_named(image_folder):
    (image_folder / "train" / "cat" / "cat_3.JPEG").chmod(0)
    with pytest.raises(UsageError, match="files that may not be read: '.*cat_3.JPEG'"):
        folders.load(image_folder)


def test_hidden_files_and_others_are_no_images(image_folder):
    (image_folder / "train" / "cat" / "._cat_1.JPEG").write_bytes(b"")
    (image_folder / "train" / "cat" / "readme.txt").write_text("")
    (image_folder / "train" / ".cache").mkdir()
    splits = folders.load(image_folder)
    assert len(splits.train) == 24 and splits.classes == 3
