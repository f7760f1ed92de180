"""What every data set is: three splits that give batches; and the split whose images are in memory."""

import collections.abc
import dataclasses
import os
import typing

import numpy as np
import tensorflow as tf

from keras_wn.data import pipeline
from keras_wn.data.corrupt import CorruptImages
from keras_wn.training.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Examples:
    """A split in memory.

    Attributes:
        images: Array of shape `(n, height, width, channels)`, standardized unless `augment` and `prepare` do it.
        labels: Integer array of shape `(n,)`.
        augment: None, or a function of `(images, seed, numbers)`, a batch and its images' numbers in the run, that makes what is
            trained on from it, by stateless random operations alone.
        prepare: None, or a function of a batch that makes what is evaluated from it.
    """

    images: np.ndarray
    labels: np.ndarray
    augment: collections.abc.Callable | None = None
    prepare: collections.abc.Callable | None = None

    def __len__(self):
        return len(self.labels)

    @property
    def image_shape(self):
        """Height, width and channels of what `prepare` makes."""
        if self.prepare is None:
            return tuple(self.images.shape[1:])
        return tuple(self.prepare(tf.constant(self.images[:1])).shape[1:])

    def training_batches(self, batch_size, classes, seed, first_step=0, shard=(0, 1)):
        """Endless stream of shuffled batches: `pipeline.training_batches`."""
        return pipeline.training_batches(self, batch_size, classes, seed, first_step, shard)

    def evaluation_batches(self, batch_size, classes, replicas=1, shard=(0, 1)):
        """Every image once: `pipeline.evaluation_batches`."""
        return pipeline.evaluation_batches(self, batch_size, classes, replicas, shard)

    def sample(self, count, seed):
        """Training images for a data-dependent start.

        Args:
            count: Positive integer, at most the number of examples.
            seed: Integer.

        Returns:
            Pair of arrays, images as they are trained on and integer labels.

        Raises:
            UsageError: If there are not as many images.
        """
        if not 1 <= count <= len(self):
            raise UsageError(f"A sample of {count} images. Allowed: 1 to {len(self)}.")
        chosen = np.random.default_rng(seed).permutation(len(self))[:count]
        images = self.images[chosen]
        if self.augment is not None:
            images = np.asarray(
                self.augment(tf.constant(images), seed, tf.range(count, dtype=tf.int64))
            )
        return images, self.labels[chosen]


@dataclasses.dataclass(frozen=True)
class Splits:
    """Training, validation and test splits of one data set.

    A split has a length, an `image_shape`, and the methods `training_batches`, `evaluation_batches` and `sample` of `Examples`.

    Attributes:
        name: Name of the data set.
        train: Split.
        validation: Split to choose by, held out of the training images where a data set has none of its own besides `test`.
        test: Split to report; nothing is chosen on it.
        classes: Number of classes.
        corrupt: `CorruptImages` that the splits record into.
    """

    name: str
    train: typing.Any
    validation: typing.Any
    test: typing.Any
    classes: int
    corrupt: CorruptImages = dataclasses.field(default_factory=CorruptImages)

    @property
    def image_shape(self):
        """Height, width and channels of an image."""
        return self.train.image_shape


def check_memory(count: int, image_size: int) -> None:
    """Refuses images that would not fit in this machine's memory, before they are made.

    Args:
        count: Number of images.
        image_size: Height and width.

    Raises:
        UsageError: With the memory that is needed, and that the machine has.
    """
    needed = count * image_size**2 * 3 * np.dtype("float32").itemsize
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        largest = int((memory / (needed / image_size**2)) ** 0.5)
        raise UsageError(
            f"--image_size={image_size}: {count} images take {needed / 2**30:.0f} GiB, and this machine has "
            f"{memory / 2**30:.0f} GiB of memory. Allowed: less than {largest}."
        )
