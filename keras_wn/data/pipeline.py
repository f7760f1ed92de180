"""From examples in memory to batches: `tf.data` streams that any step can be started from."""

import tensorflow as tf


def training_batches(examples, batch_size, classes, seed, first_step=0):
    """Endless stream of training batches, shuffled anew each epoch, the incomplete last batch of an epoch left out.

    The batch of a step depends on `seed` and the step alone, so that a run resumed at step k sees what an uninterrupted
    one would have seen.

    Args:
        examples: `Examples`.
        batch_size: Positive integer, at most the number of examples.
        classes: Positive integer.
        seed: Integer.
        first_step: Integer, the step to start from.

    Returns:
        `tf.data.Dataset` of `(images, one-hot labels)`.

    Raises:
        ValueError: If the batch is larger than the data.
    """
    total = len(examples)
    if batch_size > total:
        raise ValueError(f"A batch of {batch_size} is larger than the {total} examples. Allowed: 1 to {total}.")
    steps_per_epoch = total // batch_size
    images, labels = tf.constant(examples.images), tf.one_hot(examples.labels, classes)

    def batch_of_step(step):
        epoch, step_in_epoch = step // steps_per_epoch, step % steps_per_epoch
        positions = step_in_epoch * batch_size + tf.range(batch_size, dtype=tf.int64)
        shuffle_seed = tf.cast(tf.stack([tf.constant(seed, tf.int64), epoch]), tf.uint32)
        # A permutation that is computed an index at a time.
        chosen = tf.random.experimental.index_shuffle(
            positions, shuffle_seed, max_index=tf.constant(total - 1, tf.int64)
        )
        return tf.gather(images, chosen), tf.gather(labels, chosen)

    steps = tf.data.Dataset.range(first_step, tf.int64.max)
    return steps.map(batch_of_step, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(examples, batch_size, classes, replicas=1):
    """Every example once, in order, the last batch as small as it comes, or filled up for several devices.

    Args:
        examples: `Examples`.
        batch_size: Positive integer.
        classes: Positive integer.
        replicas: Positive integer. With more than one, batches are `(images, one-hot labels, weights)`, and the last is filled up
            to a multiple of it by images of weight 0: a device without an image would end the run.

    Returns:
        `tf.data.Dataset` of `(images, one-hot labels)`.
    """
    images, labels = tf.constant(examples.images), tf.one_hot(examples.labels, classes)
    if replicas == 1:
        arrays = (images, labels)
    else:
        missing = -len(examples) % replicas
        weights = tf.concat([tf.ones(len(examples)), tf.zeros(missing)], axis=0)
        arrays = (_filled_up(images, missing), _filled_up(labels, missing), weights)
    return tf.data.Dataset.from_tensor_slices(arrays).batch(batch_size).prefetch(tf.data.AUTOTUNE)


def _filled_up(tensor, missing):
    return tf.pad(tensor, [[0, missing]] + [[0, 0]] * (len(tensor.shape) - 1))
