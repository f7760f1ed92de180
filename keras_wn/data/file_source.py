"""Images that are files."""

import pathlib

import tensorflow as tf

from keras_wn.data import rows


class FileSource:
    """Files in a fixed order, each with its label.

    Args:
        paths: List of paths.
        labels: Integers, one for a path.
    """

    def __init__(self, paths, labels):
        self.paths = [str(path) for path in paths]
        self.labels = [int(label) for label in labels]

    def __len__(self):
        return len(self.paths)

    def training_rows(self, batch_size, seed, first_step, shard):
        """Stream of `(numbers, positions, data, labels)`, vectors that describe the own rows of a step."""
        paths, labels = tf.constant(self.paths), tf.constant(self.labels, tf.int64)
        positions = rows.training_positions(len(self), batch_size, seed, first_step, shard)
        return positions.map(lambda n, p: (n, p, tf.gather(paths, p), tf.gather(labels, p)))

    def evaluation_rows(self, batch_size, replicas, shard):
        """Stream of `(positions, data, labels)`, vectors that describe the own rows of a batch; position -1 fills up."""
        paths, labels = tf.constant([*self.paths, ""]), tf.constant([*self.labels, -1], tf.int64)

        def describe(positions):
            index = tf.where(positions < 0, tf.constant(len(self), tf.int64), positions)
            return positions, tf.gather(paths, index), tf.gather(labels, index)

        return rows.evaluation_positions(len(self), batch_size, replicas, shard).map(describe)

    def read(self, path):
        """Encoded image, as a tensor."""
        return tf.io.read_file(path)

    def name(self, position):
        """Path of an image."""
        return self.paths[position]

    def record(self, position):
        """Encoded image, label and name."""
        return (
            pathlib.Path(self.paths[position]).read_bytes(),
            self.labels[position],
            self.name(position),
        )
