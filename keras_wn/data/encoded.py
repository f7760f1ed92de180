"""Makes the batches of a split whose images are encoded, as JPEG files or records, by `tf.data`.

The order of a split is computed and never stored, so that any step can be started from. A source
reads the encoded images of a batch, and `EncodedImages` decodes them.
"""

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_wn.data import reading
from keras_wn.data.augment import Crop
from keras_wn.data.corrupt import CorruptImages
from keras_wn.data.decode import decode
from keras_wn.data.splits import own_rows, steps_in_epoch
from keras_wn.errors import UsageError

_TRIES = 8  # So many corrupt images in a row end a run.
_BATCHES_AT_ONCE = 4


class EncodedImages:
    """A split of encoded images, with the methods of `Examples`.

    TensorFlow's fused operation decodes and crops a JPEG. `decode` decodes another image, such as a
    PNG named .JPEG. An image that it cannot decode either is recorded as corrupt, and replaced. In
    training, the next image of the split that can be decoded takes its place, with its label. In
    evaluation, where every image counts, it is a gray image. Several corrupt images in a row end
    the run, as when a disk is no longer mounted.

    Args:
        source: `FileSource`, `ArrayRecordSource` or `TFRecordSource`.
        crop: `Crop` of evaluation.
        training_crop: `Crop` of training.
        corrupt: `CorruptImages`.
    """

    def __init__(self, source: Any, crop: Crop, training_crop: Crop, corrupt: CorruptImages):
        self.source = source
        self.corrupt = corrupt
        self._crop = crop
        self._training_crop = training_crop

    def __len__(self):
        return len(self.source)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return (self._crop.image_size, self._crop.image_size, 3)

    def training_batches(
        self,
        batch_size: int,
        classes: int,
        seed: int,
        first_step: int = 0,
        shard: tuple[int, int] = (0, 1),
        mixup: float = 0.0,
    ) -> tf.data.Dataset:
        """As `Examples.training_batches`, as a `tf.data.Dataset`, but for `statistics_batch`.

        Each shard mixes its own images, so that no image is decoded twice.
        """
        batches = self._training(batch_size, seed, first_step, shard).map(
            lambda x, y: (x, tf.one_hot(y, classes))
        )
        if mixup:
            batches = batches.enumerate(first_step).map(
                lambda step, batch: _mixed(*batch, mixup, seed, step)
            )
        return untuned(batches.prefetch(2))

    def evaluation_batches(
        self, batch_size: int, classes: int, device_count: int = 1, shard: tuple[int, int] = (0, 1)
    ) -> tf.data.Dataset:
        """As `Examples.evaluation_batches`, as a `tf.data.Dataset`."""
        batches = self.source.evaluation_rows(batch_size, device_count, shard)
        # Evaluation is not random, so that any number serves as a seed.
        batches = batches.map(lambda positions, data, labels: (positions, positions, data, labels))
        weighted = device_count > 1 or shard[1] > 1
        failed = set()

        def finish(images, labels, positions):
            labels = tf.one_hot(
                tf.where(positions < 0, tf.constant(-1, labels.dtype), labels), classes
            )
            return (
                (images, labels, tf.cast(positions >= 0, "float32"))
                if weighted
                else (images, labels)
            )

        return untuned(self._decoded(batches, self._crop, 0, failed).map(finish).prefetch(2))

    def sample(self, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """As `Examples.sample`: the images of the first training step with a batch of `count`."""
        if not 1 <= count <= len(self):
            raise UsageError(f"A sample of {count} images. Allowed: 1 to {len(self)}.")
        with self.corrupt.explained():
            images, labels = next(iter(self._training(count, seed, 0, (0, 1))))
        return images.numpy(), labels.numpy()

    def _training(self, batch_size, seed, first_step, shard):
        steps_in_epoch(len(self), batch_size)
        batches = self.source.training_rows(batch_size, seed, first_step, shard)
        return self._decoded(batches, self._training_crop, seed).map(lambda x, y, _: (x, y))

    def _decoded(self, batches, crop, seed, failed=None):
        """Images, labels and positions of batches of numbers, positions, data and labels.

        `failed` is a set for the positions of corrupt images. Without it, images are replaced.
        """
        size = crop.image_size
        # Decode several batches at once, so that no core waits for the last image of a batch; with
        # many cores, also several images of each batch.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        at_once = min(cores + 1, _BATCHES_AT_ONCE)
        inner = (
            {"num_parallel_calls": cores // at_once, "deterministic": True}
            if cores >= 2 * at_once
            else {}
        )

        def decode_batch(numbers, positions, data, labels):
            count = tf.size(numbers, tf.int64)

            def decode(row, number, datum):
                return row, crop.decode(self.source.read(datum), seed, number)

            images = tf.data.Dataset.from_tensor_slices((tf.range(count), numbers, data)).map(
                decode, **inner
            )
            # An image that cannot be decoded is left out here, and `repair` fills its row. Catching
            # errors image by image would halve the speed.
            none = tf.data.Dataset.from_tensors(
                (tf.zeros((0,), tf.int64), tf.zeros((0, size, size, 3)))
            )
            images = images.ignore_errors().batch(count).concatenate(none).take(1)
            return (*images.get_single_element(), numbers, positions, labels)

        def repair(decoded, images, numbers, positions, labels):
            def fill():
                repaired = tf.py_function(
                    lambda *batch: self._fill(*batch, crop, seed, failed),
                    (decoded, images, numbers, positions, labels),
                    (tf.float32, labels.dtype),
                )
                return tf.ensure_shape(repaired[0], (None, size, size, 3)), tf.ensure_shape(
                    repaired[1], (None,)
                )

            images, labels = tf.cond(
                tf.size(decoded) == tf.size(numbers), lambda: (images, labels), fill
            )
            return images, labels, positions

        batches = batches.map(decode_batch, num_parallel_calls=at_once, deterministic=True)
        return batches.map(repair)

    def _fill(self, decoded, images, numbers, positions, labels, crop, seed, failed):
        """The batch with the rows that TensorFlow could not decode."""
        filled = np.zeros((len(numbers), *self.image_shape), "float32")
        filled[decoded.numpy()] = images.numpy()
        labels = labels.numpy().copy()
        for row in sorted(set(range(len(numbers))) - set(decoded.numpy().tolist())):
            position = int(positions[row])
            if position < 0:
                continue  # Fills a batch up.
            for offset in range(_TRIES if failed is None else 1):
                image, label = self._slowly(
                    (position + offset) % len(self), crop, seed, numbers[row]
                )
                if image is not None:
                    filled[row], labels[row] = image, label
                    break
            else:
                if failed is None or self._ends_a_row(position, failed):
                    self.corrupt.end(
                        f"{_TRIES} images in a row cannot be decoded. {self.corrupt.summary()} "
                        "Allowed: fewer in a row."
                    )
        return filled, labels

    def _ends_a_row(self, position, failed):
        """Adds a position to those that failed. Returns whether it ends a row of failed images."""
        failed.add(position)
        return len(failed) >= _TRIES and all(position - i in failed for i in range(_TRIES))

    def _slowly(self, position, crop, seed, number):
        """Image as `crop` shows it, or None, and label."""
        name = None
        try:
            data, label, name = self.source.record(position)
            with tf.device("CPU:0"):
                try:
                    return crop.decode(tf.constant(data), seed, number).numpy(), label
                except tf.errors.InvalidArgumentError:
                    decoded = tf.constant(decode(data, crop.max_pixels))
                    return crop.from_decoded(decoded, seed, number).numpy(), label
        # Pillow raises nearly anything on broken data.
        except Exception as error:
            self.corrupt.record(name or self.source.name(position), _reason(error))
            return None, None


def _reason(error):
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return reading.first_line(error).split(" <_io")[0]


class FileSource:
    """Reads image files in a fixed order, each with its label.

    Args:
        paths: List of paths.
        labels: Integers, one for a path.
    """

    def __init__(self, paths: list[str], labels: list[int]):
        self.paths = [os.fspath(path) for path in paths]
        self.labels = [int(label) for label in labels]
        # Names need not be text.
        self._encoded = [os.fsencode(path) for path in paths]

    def __len__(self):
        return len(self.paths)

    def training_rows(
        self, batch_size: int, seed: int, first_step: int, shard: tuple[int, int]
    ) -> tf.data.Dataset:
        """The rows of each step that this shard trains on.

        Returns:
            `tf.data.Dataset` of vectors `(numbers, positions, data, labels)`.
        """
        paths, labels = tf.constant(self._encoded), tf.constant(self.labels, tf.int64)
        positions = training_positions(len(self), batch_size, seed, first_step, shard)
        return positions.map(lambda n, p: (n, p, tf.gather(paths, p), tf.gather(labels, p)))

    def evaluation_rows(
        self, batch_size: int, device_count: int, shard: tuple[int, int]
    ) -> tf.data.Dataset:
        """The rows of each batch that this shard evaluates.

        Returns:
            `tf.data.Dataset` of vectors `(positions, data, labels)`. A row of position -1 fills a
            batch up.
        """
        paths = tf.constant([*self._encoded, b""])
        labels = tf.constant([*self.labels, -1], tf.int64)

        def describe(positions):
            index = tf.where(positions < 0, tf.constant(len(self), tf.int64), positions)
            return positions, tf.gather(paths, index), tf.gather(labels, index)

        return evaluation_positions(len(self), batch_size, device_count, shard).map(describe)

    def read(self, path: tf.Tensor) -> tf.Tensor:
        """The encoded image of a row's data, which is its path."""
        return tf.io.read_file(path)

    def name(self, position: int) -> str:
        """The path of an image."""
        return self.paths[position]

    def record(self, position: int) -> tuple[bytes, int, str]:
        """The encoded image, label and path."""
        with reading.open_file(self.paths[position]) as file:
            return file.read(), self.labels[position], self.name(position)


def _mixed(images, labels, mixup, seed, step):
    share = tf.cast(mixup_share(mixup, seed, step), "float32")
    # The order is random, so that the next image is as good as any.
    return tuple(share * x + (1 - share) * tf.roll(x, -1, axis=0) for x in (images, labels))


def mixup_share(mixup: float, seed: int, step: tf.Tensor) -> tf.Tensor:
    """A draw of the beta distribution whose parameters are both `mixup`.

    It is X / (X + Y) for gamma variables X and Y of the shape a = `mixup`, which for a small a are
    too small for any float. So log X is drawn, as log G + log(U) / a, with G of the shape a + 1
    and U uniform.

    Args:
        mixup: Positive float.
        seed: Integer.
        step: Scalar int64 tensor. It and `seed` determine the draw.

    Returns:
        Scalar float64 tensor in [0, 1].

    Reference: Marsaglia & Tsang 2000, "A Simple Method for Generating Gamma Variables", which
    makes a gamma variable of the shape a < 1 from one of the shape a + 1.
    """
    seed = tf.cast(seed, tf.int64)
    gamma = tf.random.stateless_gamma((2,), [seed, 2 * step], mixup + 1, dtype=tf.float64)
    # In (0, 1], so that the logarithm is finite.
    uniform = 1 - tf.random.stateless_uniform((2,), [seed, 2 * step + 1], dtype=tf.float64)
    logs = tf.math.log(gamma), tf.math.log(uniform)
    differences = [log[0] - log[1] for log in logs]
    return tf.sigmoid(differences[0] + differences[1] / mixup)


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """A data set without autotuning, whose thread may delay the end of an iterator by seconds."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def shuffled(positions: tf.Tensor, seed: int, epoch: tf.Tensor, total: Any) -> tf.Tensor:
    """The entries at `positions` of a permutation of `range(total)` drawn by `seed` and `epoch`.

    The whole permutation is never made.
    """
    shuffle_seed = tf.cast(tf.stack([tf.constant(seed, tf.int64), epoch]), tf.uint32)
    return tf.random.experimental.index_shuffle(
        positions, shuffle_seed, max_index=tf.cast(total - 1, tf.int64)
    )


def training_positions(
    total: int, batch_size: int, seed: int, first_step: int = 0, shard: tuple[int, int] = (0, 1)
) -> tf.data.Dataset:
    """The positions in the split that each training step sees, without end.

    They are shuffled anew each epoch, and an epoch's incomplete last batch is left out.

    Args:
        total: Positive integer, images in the split.
        batch_size: Positive integer, rows of the global batch.
        seed: Integer.
        first_step: Integer.
        shard: Pair `(index, count)`.

    Returns:
        `tf.data.Dataset` of `(numbers, positions)`, one of each for an own row: `numbers` count the
        images of the whole run, and `positions` tell where in the split they are.
    """
    steps_per_epoch = steps_in_epoch(total, batch_size)
    start, stop = own_rows(batch_size, shard)

    def rows_of_step(step):
        epoch, step_in_epoch = step // steps_per_epoch, step % steps_per_epoch
        rows = tf.range(start, stop, dtype=tf.int64)
        return step * batch_size + rows, shuffled(
            step_in_epoch * batch_size + rows, seed, epoch, total
        )

    return tf.data.Dataset.range(first_step, tf.int64.max).map(rows_of_step)


def evaluation_positions(
    total: int, batch_size: int, device_count: int = 1, shard: tuple[int, int] = (0, 1)
) -> tf.data.Dataset:
    """The positions that each evaluation batch shows: each once over all shards, in order.

    A position of -1 fills a batch up.

    Args:
        total: Positive integer, images in the split.
        batch_size: Positive integer, rows of the global batch.
        device_count: Positive integer, devices of all shards together, among which every batch
            divides.
        shard: Pair `(index, count)`.

    Returns:
        `tf.data.Dataset` of vectors of positions.
    """
    index, count = shard
    own_rows(batch_size, shard)
    unit = math.lcm(device_count, count)
    filled_up = total + -total % unit

    def rows_of_batch(start):
        rows = tf.minimum(tf.constant(batch_size, tf.int64), filled_up - start) // count
        positions = start + rows * index + tf.range(rows)
        return tf.where(positions < total, positions, -1)

    return tf.data.Dataset.range(0, filled_up, batch_size).map(rows_of_batch)


def evaluation_share(
    total: int, batch_size: int, device_count: int = 1, shard: tuple[int, int] = (0, 1)
) -> tuple[Callable[[tf.Tensor], tf.Tensor], int]:
    """`evaluation_positions` for records that are read in sequence.

    Args:
        total: Positive integer, images in the split.
        batch_size: Positive integer, rows of the global batch.
        device_count: Positive integer, devices of all shards together.
        shard: Pair `(index, count)`.

    Returns:
        Pair of a function of a position, whether this shard shows it, and the number of rows that
        fill its last batch up.
    """
    index, count = shard
    start, stop = own_rows(batch_size, shard)
    filled_up = total + -total % math.lcm(device_count, count)
    last = (filled_up - 1) // batch_size * batch_size  # The start of the last batch.
    rows = (filled_up - last) // count
    last_start, last_stop = last + rows * index, last + rows * (index + 1)

    def is_own(position):
        row = position % batch_size
        return tf.where(
            position < last,
            (row >= start) & (row < stop),
            (position >= last_start) & (position < last_stop),
        )

    return is_own, last_stop - max(min(total, last_stop), last_start)
