"""Random images in memory, to measure the speed of training alone."""

import numpy as np

from keras_wn.data.splits import Examples, Splits, check_memory


def load(image_size=224, classes=1000, count=512):
    """Random images and labels, the same in each split.

    Args:
        image_size: Positive integer, height and width.
        classes: Positive integer.
        count: Positive integer, images in the split.

    Returns:
        `Splits`.

    Example:

    >>> splits = load(image_size=8, classes=10, count=4)
    >>> splits.image_shape, len(splits.train)
    ((8, 8, 3), 4)
    """
    check_memory(count, image_size)
    generator = np.random.default_rng(0)
    images = generator.standard_normal((count, image_size, image_size, 3), "float32")
    examples = Examples(images, generator.integers(0, classes, count, "int32"))
    return Splits("synthetic", examples, examples, examples, classes=classes)
