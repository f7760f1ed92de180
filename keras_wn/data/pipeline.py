"""From examples in memory to batches: `tf.data` streams that any step can be started from."""

import tensorflow as tf

from keras_wn.data import rows

_AHEAD = 2  # Batches that are made while the step runs.


def untuned(dataset):
    """A data set without tf.data's autotuning, whose thread an iterator may wait for at its end, as long again as it lived."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def training_batches(examples, batch_size, classes, seed, first_step=0, shard=(0, 1)):
    """Endless stream of training batches, shuffled anew each epoch, the incomplete last batch of an epoch left out.

    The batch of a step depends on `seed` and the step alone, so that a run resumed at step k sees what an uninterrupted
    one would have seen.

    Args:
        examples: `Examples`.
        batch_size: Positive integer, at most the number of examples.
        classes: Positive integer.
        seed: Integer.
        first_step: Integer, the step to start from.
        shard: Pair `(index, count)`: this process takes the rows of the `index`-th of `count` equal parts of every batch.

    Returns:
        `tf.data.Dataset` of `(images, one-hot labels)`.

    Raises:
        ValueError: If the batch is larger than the data.
    """
    positions = rows.training_positions(len(examples), batch_size, seed, first_step, shard)
    images, labels = tf.constant(examples.images), tf.one_hot(examples.labels, classes)

    def gather(numbers, chosen):
        batch = tf.gather(images, chosen)
        if examples.augment is not None:
            batch = examples.augment(batch, seed, numbers)
        return batch, tf.gather(labels, chosen)

    return untuned(
        positions.map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(
            _AHEAD
        )
    )


def evaluation_batches(examples, batch_size, classes, replicas=1, shard=(0, 1)):
    """Every example once, in order, the last batch as small as it comes, or filled up for several devices.

    Args:
        examples: `Examples`.
        batch_size: Positive integer.
        classes: Positive integer.
        replicas: Positive integer, devices of all processes together. With more than one, or several shards, batches are
            `(images, one-hot labels, weights)`, and the last is filled up to a multiple of it by images of weight 0: a device
            without an image would end the run.
        shard: Pair `(index, count)`: this process takes the `index`-th of `count` equal parts of every batch.

    Returns:
        `tf.data.Dataset` of `(images, one-hot labels)`.
    """
    positions = rows.evaluation_positions(len(examples), batch_size, replicas, shard)
    images, labels = tf.constant(examples.images), tf.one_hot(examples.labels, classes)
    weighted = replicas > 1 or shard[1] > 1

    def gather(chosen):
        real, index = chosen >= 0, tf.maximum(chosen, 0)
        batch, batch_labels = tf.gather(images, index), tf.gather(labels, index)
        if examples.prepare is not None:
            batch = examples.prepare(batch)
        if not weighted:
            return batch, batch_labels
        weights = tf.cast(real, "float32")
        return batch * tf.reshape(weights, (-1, 1, 1, 1)), batch_labels * weights[:, None], weights

    return untuned(
        positions.map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(
            _AHEAD
        )
    )
