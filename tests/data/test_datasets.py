import numpy as np
import pytest

from keras_wn.data import datasets
from keras_wn.errors import UsageError


def test_image_folder_is_found(image_folder):
    splits = datasets.load("imagenet", image_folder, 16, "paper")
    assert splits.name == "image_folder" and splits.image_shape == (16, 16, 3)


def test_digits_need_no_folder():
    splits = datasets.load("digits")
    assert splits.name == "digits" and "scikit-learn" in datasets.description(splits)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"dataset": "svhn"},
            "--dataset=svhn: unknown. Allowed: digits, imagenet, cifar10, cifar100, mnist, ",
        ),
        ({"dataset": "imagenet"}, "--dataset=imagenet needs its folder. Allowed: with --data_dir."),
        ({"dataset": "imagenet", "data_dir": "/nowhere"}, "--data_dir=/nowhere: no such folder."),
        ({"dataset": "digits", "data_dir": "/tmp"}, "--data_dir=/tmp: the digits are embedded."),
        (
            {"dataset": "digits", "augment": "mixup"},
            "--augment=mixup: unknown. Allowed: standard, paper.",
        ),
        (
            {"dataset": "imagenet", "image_size": 0},
            "--image_size=0: not allowed. Allowed: 1 or more.",
        ),
    ],
)
def test_bad_flags_are_quoted(arguments, message):
    with pytest.raises(UsageError, match=message) as error:
        datasets.load(**arguments)
    assert "\n" not in str(error.value)


def test_an_empty_folder_is_told_what_was_looked_for(tmp_path):
    with pytest.raises(
        UsageError, match="neither train/ and val/ .* nor imagenet2012/ .* is there"
    ):
        datasets.load("imagenet", tmp_path)


def test_synthetic_images_are_as_asked_for(take):
    splits = datasets.synthetic(image_size=8, classes=5, count=20)
    (images, labels), *_ = take(splits.train.training_batches(20, 5, seed=0), 1)
    assert images.shape == (20, 8, 8, 3) and labels.shape == (20, 5)
    assert abs(images.mean()) < 0.1 and np.array_equal(
        splits.train.images, datasets.synthetic(8, 5, 20).train.images
    )
