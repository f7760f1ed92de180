"""A data set in memory."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Examples:
    """Images of shape `(n, height, width, channels)`, standardized, and integer labels of shape `(n,)`."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Splits:
    """Training, validation and test examples of one data set, with its name and number of classes."""

    name: str
    train: Examples
    validation: Examples
    test: Examples
    classes: int
