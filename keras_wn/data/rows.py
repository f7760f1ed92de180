"""Which images a step sees: positions in a split, computed and never stored, so that any step can be started from."""

import math

import tensorflow as tf

from keras_wn.training.errors import UsageError


def own_rows(batch_size, shard):
    """The rows of a global batch that belong to one shard.

    Args:
        batch_size: Positive integer, rows of the global batch.
        shard: Pair `(index, count)`.

    Returns:
        Pair of integers, the first row and the one after the last.

    Raises:
        UsageError: If the batch does not divide among the shards, or there is no such shard.
    """
    index, count = shard
    if not 0 <= index < count:
        raise UsageError(f"Shard {index} of {count}: there is none. Allowed: 0 to {count - 1}.")
    if batch_size % count:
        raise UsageError(
            f"A batch of {batch_size} does not divide among {count} shards. Allowed: multiples of {count}."
        )
    return batch_size // count * index, batch_size // count * (index + 1)


def steps_in_epoch(total, batch_size):
    """Whole batches in `total` images; `ValueError` if there is none."""
    if not 1 <= batch_size <= total:
        raise ValueError(
            f"A batch of {batch_size} is larger than the {total} examples. Allowed: 1 to {total}."
        )
    return total // batch_size


def shuffled(positions, seed, epoch, total):
    """What a shuffle of `range(total)` by `seed` and `epoch` puts at `positions`, without making the whole shuffle."""
    shuffle_seed = tf.cast(tf.stack([tf.constant(seed, tf.int64), epoch]), tf.uint32)
    return tf.random.experimental.index_shuffle(
        positions, shuffle_seed, max_index=tf.cast(total - 1, tf.int64)
    )


def training_positions(total, batch_size, seed, first_step=0, shard=(0, 1)):
    """Endless stream of what each training step sees, shuffled anew each epoch, an incomplete last batch left out.

    Args:
        total: Positive integer, images in the split.
        batch_size: Positive integer, rows of the global batch.
        seed: Integer.
        first_step: Integer.
        shard: Pair `(index, count)`.

    Returns:
        `tf.data.Dataset` of `(numbers, positions)`, one of each for an own row: `numbers` count the images of the whole run, and
        `positions` tell where in the split they are.
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


def evaluation_positions(total, batch_size, replicas=1, shard=(0, 1)):
    """What each evaluation batch shows: every position once over all shards, in order, -1 for what only fills up.

    Args:
        total: Positive integer, images in the split.
        batch_size: Positive integer, rows of the global batch.
        replicas: Positive integer, devices of all shards together, among which every batch divides.
        shard: Pair `(index, count)`.

    Returns:
        `tf.data.Dataset` of vectors of positions.
    """
    index, count = shard
    own_rows(batch_size, shard)
    unit = math.lcm(replicas, count)
    filled_up = total + -total % unit

    def rows_of_batch(start):
        rows = tf.minimum(tf.constant(batch_size, tf.int64), filled_up - start) // count
        positions = start + rows * index + tf.range(rows)
        return tf.where(positions < total, positions, -1)

    return tf.data.Dataset.range(0, filled_up, batch_size).map(rows_of_batch)


def evaluation_share(total, batch_size, replicas=1, shard=(0, 1)):
    """`evaluation_positions` for what is read in sequence.

    Args:
        total: Positive integer, images in the split.
        batch_size: Positive integer, rows of the global batch.
        replicas: Positive integer, devices of all shards together.
        shard: Pair `(index, count)`.

    Returns:
        Pair of a function of a position, whether this shard shows it, and the number of rows that fill its last batch up.
    """
    index, count = shard
    start, stop = own_rows(batch_size, shard)
    filled_up = total + -total % math.lcm(replicas, count)
    last = (filled_up - 1) // batch_size * batch_size  # Where the last batch starts.
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
