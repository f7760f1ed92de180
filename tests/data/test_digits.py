import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_wn.data import digits
from keras_wn.errors import UsageError

SPLITS = digits.load()


def test_splits_have_their_sizes_and_every_class_in_equal_share():
    parts = (SPLITS.train, SPLITS.validation, SPLITS.test)
    assert [len(part) for part in parts] == [1297, 250, 250]
    for part in parts:
        shares = np.bincount(part.labels, minlength=10) / len(part)
        np.testing.assert_allclose(shares, 0.1, atol=0.005)


def test_the_study_has_a_split_of_its_own_with_more_images_to_test_on():
    found = digits.load(8, (250, 1000))
    assert [len(found.train), len(found.validation), len(found.test)] == [547, 250, 1000]
    np.testing.assert_allclose(np.bincount(found.test.labels) / 1000, 0.1, atol=0.005)


def test_splits_hold_each_image_once():
    images = np.concatenate(
        [p.images[:, ::4, ::4, 0] for p in (SPLITS.train, SPLITS.validation, SPLITS.test)]
    )
    originals = load_digits().images

    def distinct(x):
        return len(np.unique(x.round(3).reshape(len(x), -1), axis=0))

    assert len(images) == len(originals) == 1797
    assert distinct(images) == distinct(originals[:, ::1, ::1])


def test_images_are_rgb_and_standardized_by_the_training_split():
    assert SPLITS.train.images.shape[1:] == (32, 32, 3) and SPLITS.train.images.dtype == np.float32
    np.testing.assert_allclose(SPLITS.train.images.mean(), 0, atol=1e-5)
    np.testing.assert_allclose(SPLITS.train.images.std(), 1, atol=1e-5)
    assert abs(SPLITS.test.images.mean()) > 1e-5  # Not by its own.
    np.testing.assert_array_equal(SPLITS.train.images[..., 0], SPLITS.train.images[..., 2])


def test_resized_images_are_still_the_digits():
    # A nearest-mean classifier on the test split: far above chance only if images and labels belong
    # together.
    means = np.stack(
        [SPLITS.train.images[SPLITS.train.labels == c].mean(axis=0) for c in range(10)]
    )
    distances = np.square(SPLITS.test.images[:, None] - means[None]).sum(axis=(2, 3, 4))
    assert np.mean(distances.argmin(axis=1) == SPLITS.test.labels) > 0.85


@pytest.mark.slow
def test_split_is_the_same_in_another_process():
    import subprocess
    import sys

    code = "from keras_wn.data import digits; print(digits.load().test.labels[:20].tolist())"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == str(SPLITS.test.labels[:20].tolist())


def test_images_that_no_memory_holds_are_one_line():
    with pytest.raises(
        UsageError,
        match="--image_size=1000000: 1797 images take .* GiB, and this machine .* Allowed: less",
    ) as caught:
        digits.load(1_000_000)
    assert "\n" not in str(caught.value)
