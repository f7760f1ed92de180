"""Loads scikit-learn's 1,797 handwritten digits: real images that need no download."""

import functools

import numpy as np
from keras import ops
from sklearn.datasets import load_digits

from keras_wn.data import digest
from keras_wn.data.hold_out import hold_out
from keras_wn.data.splits import Examples, Splits, check_memory

# Images in the validation split, and in the test split.
HELD_OUT = (250, 250)


@functools.cache
def load(image_size: int = 32, held_out: tuple[int, int] = HELD_OUT) -> Splits:
    """The digits as RGB images: 1,297 to train, 250 to validate, 250 to test.

    The split is fixed and stratified.
    The 8x8 images are resized bilinearly, the one channel is repeated three times, and everything
    is standardized by the mean and standard deviation of all training pixels (one number each:
    border pixels are constant).

    Args:
        image_size: Positive integer, height and width.
        held_out: Pair of positive integers, the images in the validation and in the test split.

    Returns:
        `Splits`; images are float32 of shape `(n, image_size, image_size, 3)`, labels int32 of
        shape `(n,)`.

    Example:

    >>> splits = load()
    >>> splits.train.images.shape, splits.classes
    ((1297, 32, 32, 3), 10)

    Reference: scikit-learn `load_digits`: the test part of the UCI "Optical Recognition of
    Handwritten Digits" set (Alpaydin & Kaynak 1998).
    """
    digits = load_digits()
    check_memory(len(digits.target), image_size)
    to_validate, to_test = held_out
    rest, test = hold_out(digits.target, to_test)
    train, validation = (rest[rows] for rows in hold_out(digits.target[rest], to_validate))
    images = ops.image.resize(
        digits.images[..., None].astype("float32"),
        (image_size, image_size),
        data_format="channels_last",
    )
    images = np.repeat(ops.convert_to_numpy(images), 3, axis=-1)
    images = (images - images[train].mean()) / images[train].std()
    examples = [
        Examples(images[part], digits.target[part].astype("int32"))
        for part in (train, validation, test)
    ]
    found = digest.of_arrays(digits.images, digits.target, np.array(held_out))
    return Splits("digits", *examples, classes=10, digest=found)
