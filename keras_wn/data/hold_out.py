"""Holds images out of a data set, the same ones in every run."""

import numpy as np
from sklearn.model_selection import train_test_split

# The split is part of the data set: it never changes with a run's seed.
_SPLIT_SEED = 0
# A set too small to give each class its share, as in tests, is split without regard to them.
_LEAST_TO_STRATIFY = 1000


def hold_out(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Chooses the images of a held-out split, as many of each class.

    Args:
        labels: Integer array, the labels of all images.
        count: Positive integer, the number of images to hold out.

    Returns:
        Pair of integer arrays, the sorted indices of the images that are kept, and of those that
        are held out.

    Example:

    >>> import numpy as np
    >>> kept, held_out = hold_out(np.arange(2000) % 2, 10)
    >>> len(kept), len(held_out)
    (1990, 10)
    """
    kept, held_out = train_test_split(
        np.arange(len(labels)),
        test_size=count,
        stratify=labels if len(labels) >= _LEAST_TO_STRATIFY else None,
        random_state=_SPLIT_SEED,
    )
    return np.sort(kept), np.sort(held_out)
