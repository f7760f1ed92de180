"""Holds images out of a data set, the same ones in every run."""

from typing import Any

import numpy as np

from keras_wn.data import reading

# The split is part of the data set: it never changes with a run's seed.
_SPLIT_SEED = 0
# A set too small to give each class its share, as in tests, is split without regard to them.
_LEAST_TO_STRATIFY = 1000


def hold_out(labels: np.ndarray, count: int, data_dir: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Chooses the images of a held-out split, equally many of each class.

    Args:
        labels: Integer array, the labels of all images.
        count: Positive integer, the number of images to hold out.
        data_dir: Folder of the data, for messages.

    Returns:
        Pair of integer arrays, the sorted indices of the images that are kept, and of those that
        are held out.

    Raises:
        UsageError: If there are too few images, in all or of a class.

    Example:

    >>> import numpy as np
    >>> kept, held_out = hold_out(np.arange(2000) % 2, 10)
    >>> len(kept), len(held_out)
    (1990, 10)
    """
    stratified = len(labels) >= _LEAST_TO_STRATIFY
    classes, sizes = np.unique(labels, return_counts=True)
    least = len(classes) if stratified else 1
    if not least <= count <= len(labels) - least:
        raise reading.fault(
            data_dir,
            f"{len(labels)} training images of {len(classes)} classes, of which {count} are held "
            "out, are too few. Allowed: one or more of each class for both parts.",
        )
    if stratified and sizes.min() < 2:
        raise reading.fault(
            data_dir,
            f"the label {classes[sizes.argmin()]} has 1 training image. Allowed: 2 or more.",
        )
    # Imported here, because the flags of a benchmark need the list of data sets, and not
    # scikit-learn.
    from sklearn.model_selection import train_test_split

    kept, held_out = train_test_split(
        np.arange(len(labels)),
        test_size=count,
        stratify=labels if stratified else None,
        random_state=_SPLIT_SEED,
    )
    return np.sort(kept), np.sort(held_out)
