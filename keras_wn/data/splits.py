"""Holds a data set's three splits, and makes the batches of a split whose images are in memory."""

import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_wn.data.corrupt import CorruptImages
from keras_wn.errors import UsageError

# Each kind of draw has its own seed.
_ORDER, _AUGMENTATION, _SAMPLE, _MIXUP = range(4)


@dataclasses.dataclass(frozen=True)
class Splits:
    """The training, validation and test splits of one data set.

    A split has a length, an `image_shape`, and the methods `training_batches`,
    `evaluation_batches` and `sample` of `Examples`.

    Attributes:
        name: Name of the data set.
        train: Split.
        validation: Split to choose settings by. Where a data set has only one split besides the
            training images, it is held out of the training images.
        test: Split to report. Nothing is chosen on it.
        classes: Number of classes.
        digest: Short text that depends on the examples, and not on where they are stored.
        notes: Sentences on the data that a run prints at its start.
        corrupt: `CorruptImages` that the splits record into.
    """

    name: str
    train: Any
    validation: Any
    test: Any
    classes: int
    digest: str
    notes: tuple[str, ...] = ()
    corrupt: CorruptImages = dataclasses.field(default_factory=CorruptImages)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of an image."""
        return self.train.image_shape


class Batches:
    """Batches of arrays that are made anew in each pass.

    Args:
        make: Function that starts a pass, an iterator over tuples of arrays.
    """

    def __init__(self, make: Callable[[], Iterator[tuple[np.ndarray, ...]]]):
        self._make = make

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        return self._make()

    def grouped(self, count: int) -> Iterator[tuple[np.ndarray, ...]]:
        """Stacks `count` batches at a time, and leaves out an incomplete last group."""
        batches = iter(self)
        while len(group := list(itertools.islice(batches, count))) == count:
            yield tuple(np.stack(arrays) for arrays in zip(*group, strict=True))


@dataclasses.dataclass(frozen=True)
class Examples:
    """A split in memory.

    Attributes:
        images: Array of shape `(n, height, width, channels)`. It is standardized unless `augment`
            and `prepare` do that.
        labels: Integer array of shape `(n,)`.
        augment: None, or a function that makes training images. It takes images, and random
            numbers in [0, 1) as a float32 array of shape `(n, 3)`, three for each image.
        prepare: None, or a function that makes evaluation images from images.
    """

    images: np.ndarray
    labels: np.ndarray
    augment: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    prepare: Callable[[np.ndarray], np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of an image that `prepare` made."""
        return tuple(self._prepared(self.images[:1]).shape[1:])

    def training_batches(
        self,
        batch_size: int,
        classes: int,
        seed: int,
        first_step: int = 0,
        shard: tuple[int, int] = (0, 1),
        mixup: float = 0.0,
        statistics_batch: int | None = None,
    ) -> Batches:
        """Endless batches, shuffled anew each epoch, without an epoch's incomplete last batch.

        The batch of a step depends on `seed` and the step alone, so that a resumed run sees the
        same batches as one that was never stopped.

        Args:
            batch_size: Positive integer, at most the number of images.
            classes: Number of classes.
            seed: Non-negative integer.
            first_step: The step to start from.
            shard: Pair `(index, count)`: this process takes the rows of the `index`-th of `count`
                equal parts of every batch.
            mixup: Non-negative float, the parameter of the beta distribution of the share with
                which each batch is mixed with itself in another order; 0 mixes nothing.
            statistics_batch: Integer from `batch_size` to the number of images, for one shard:
                each batch is followed by the images that come next in the epoch's order, up to
                this number, with labels of zeros, which mark images that the loss leaves out.
                None adds no images.

        Returns:
            `Batches` of images and one-hot labels.

        Reference: mixup is Zhang et al. 2018, arXiv 1710.09412, with one share for a batch, as in
        the authors' code.

        Raises:
            ValueError: If the batch is larger than the split.
            UsageError: If the batch does not divide among the shards.
        """
        steps = steps_in_epoch(len(self), batch_size)
        loaded = statistics_batch or batch_size
        own = np.arange(*own_rows(loaded, shard))
        one_hot = np.eye(classes, dtype="float32")

        def make():
            for epoch in itertools.count(first_step // steps):
                order = np.random.default_rng((seed, _ORDER, epoch)).permutation(len(self))
                for step in range(max(first_step, epoch * steps), (epoch + 1) * steps):
                    start = step % steps * batch_size
                    # Draw for the whole batch, so that sharding does not change it.
                    chosen = order[np.arange(start, start + loaded) % len(self)]
                    draws = _uniform((seed, _AUGMENTATION, step), loaded)
                    images, labels = self._shown(chosen[own], draws[own], one_hot)
                    if mixup:
                        share = np.float32(
                            np.random.default_rng((seed, _MIXUP, step)).beta(mixup, mixup)
                        )
                        # The order is random, so that the next image is as good as any.
                        next_ = (own + 1) % loaded
                        other_images, other_labels = self._shown(
                            chosen[next_], draws[next_], one_hot
                        )
                        images = share * images + (1 - share) * other_images
                        labels = share * labels + (1 - share) * other_labels
                    if statistics_batch:
                        labels[batch_size:] = 0
                    yield images, labels

        return Batches(make)

    def evaluation_batches(
        self, batch_size: int, classes: int, device_count: int = 1, shard: tuple[int, int] = (0, 1)
    ) -> Batches:
        """Every image once, in order.

        Args:
            batch_size: Positive integer.
            classes: Number of classes.
            device_count: Devices of all processes together. With more than one, or with several
                shards, a batch holds weights too, and the last batch is filled up to a multiple of
                it by black images of weight 0. A device without an image would end the run.
            shard: Pair `(index, count)`: this process takes the `index`-th of `count` equal parts
                of every batch.

        Returns:
            `Batches` of images and one-hot labels, and of weights with several devices or shards.
        """
        own_rows(batch_size, shard)
        index, count = shard
        unit = math.lcm(device_count, count)
        filled_up = len(self) + -len(self) % unit
        one_hot = np.eye(classes, dtype="float32")

        def make():
            for start in range(0, filled_up, batch_size):
                rows = min(batch_size, filled_up - start) // count
                positions = start + rows * index + np.arange(rows)
                weights = (positions < len(self)).astype("float32")
                positions = np.minimum(positions, len(self) - 1)
                images = self._prepared(self.images[positions])
                labels = one_hot[self.labels[positions]]
                if unit == 1:
                    yield images, labels
                else:
                    yield images * weights[:, None, None, None], labels * weights[:, None], weights

        return Batches(make)

    def sample(self, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Training images for a data-dependent start, and their integer labels.

        Args:
            count: Positive integer, at most the number of images.
            seed: Non-negative integer.

        Returns:
            Pair of arrays.

        Raises:
            UsageError: If the split has fewer images.
        """
        if not 1 <= count <= len(self):
            raise UsageError(f"A sample of {count} images. Allowed: 1 to {len(self)}.")
        chosen = np.random.default_rng(seed).permutation(len(self))[:count]
        images = self.images[chosen]
        if self.augment is not None:
            images = self.augment(images, _uniform((seed, _SAMPLE), count))
        return images, self.labels[chosen]

    def _shown(self, chosen, draws, one_hot):
        images = self.images[chosen]
        if self.augment is not None:
            images = self.augment(images, draws)
        return images, one_hot[self.labels[chosen]]

    def _prepared(self, images):
        return images if self.prepare is None else self.prepare(images)


def own_rows(batch_size: int, shard: tuple[int, int]) -> tuple[int, int]:
    """The rows of a batch that belong to one shard.

    Args:
        batch_size: Positive integer, rows of the whole batch.
        shard: Pair `(index, count)`.

    Returns:
        Pair of integers, the first row and the row after the last.

    Raises:
        UsageError: If the batch does not divide among the shards, or the shard does not exist.

    Example:

    >>> own_rows(8, (1, 2))
    (4, 8)
    """
    index, count = shard
    if not 0 <= index < count:
        raise UsageError(f"Shard {index} of {count}: no such shard. Allowed: 0 to {count - 1}.")
    if batch_size % count:
        raise UsageError(
            f"A batch of {batch_size} does not divide among {count} shards. "
            f"Allowed: multiples of {count}."
        )
    return batch_size // count * index, batch_size // count * (index + 1)


def steps_in_epoch(total: int, batch_size: int) -> int:
    """The number of whole batches in `total` images. Raises `ValueError` if it is 0."""
    if not 1 <= batch_size <= total:
        raise ValueError(
            f"A batch of {batch_size} is larger than the {total} examples. Allowed: 1 to {total}."
        )
    return total // batch_size


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
            f"--image_size={image_size}: {count} images take {needed / 2**30:.0f} GiB, and this "
            f"machine has {memory / 2**30:.0f} GiB of memory. Allowed: less than {largest}."
        )


def _uniform(seed, count):
    return np.random.default_rng(seed).random((count, 3), "float32")
