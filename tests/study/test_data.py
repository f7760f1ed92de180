"""Draws the training images and wrong labels of a seed."""

import dataclasses

import numpy as np
import pytest

from keras_wn.data import digits
from keras_wn.errors import UsageError
from keras_wn.study import data
from tests.study.made_up import TINY

SIZE, NOISE = TINY.train_size, TINY.label_noise


def drawn(seed, train_size=SIZE, label_noise=NOISE):
    return data.drawn(digits.load(8), train_size, label_noise, seed).train


def test_a_draw_depends_on_the_seed_alone():
    first, again, other = drawn(1), drawn(1), drawn(2)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.labels, other.labels)


def test_a_draw_has_the_size_and_the_noise_that_are_asked_for():
    clean, noisy = drawn(0, label_noise=0.0), drawn(0, label_noise=0.25)
    assert len(clean) == len(noisy) == TINY.train_size
    assert (clean.labels != noisy.labels).sum() == round(0.25 * TINY.train_size)
    np.testing.assert_array_equal(clean.images, noisy.images)


def test_wrong_labels_are_each_other_class_as_often():
    noisy = data.with_noise(np.zeros(30_000, int), classes=4, share=0.9, seed=0)
    counts = np.bincount(noisy, minlength=4)
    assert counts[0] == 3_000
    np.testing.assert_allclose(counts[1:], 9_000, rtol=0.03)


def test_validation_and_test_images_are_never_touched():
    splits = digits.load(8)
    changed = data.drawn(splits, SIZE, NOISE, seed=0)
    assert changed.validation is splits.validation and changed.test is splits.test


@pytest.mark.parametrize("size", [5, 546, 10**6])
def test_a_size_that_cannot_be_drawn_is_refused(size):
    with pytest.raises(
        UsageError,
        match=f"--train_size={size}: not allowed. Allowed with --dataset=digits: 10 to 537",
    ):
        data.load(dataclasses.replace(TINY, train_size=size))


def test_the_digits_of_a_study_have_a_thousand_images_to_test_on():
    assert len(data.load(TINY).test) == 1000


@pytest.mark.parametrize("made_once", [2**28, 0], ids=["kept in memory", "streamed"])
def test_batches_are_the_split_in_order_and_its_last_one_is_filled_up(made_once, monkeypatch):
    monkeypatch.setattr(data, "_LARGEST_KEPT", made_once)
    splits = digits.load(8)
    batches = data.evaluation_batches(splits.test, splits.classes)
    images, labels, weights = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    assert len(images) % 256 == 0
    counted = weights > 0
    np.testing.assert_array_equal(images[counted], splits.test.images)
    np.testing.assert_array_equal(labels[counted].argmax(-1), splits.test.labels)
