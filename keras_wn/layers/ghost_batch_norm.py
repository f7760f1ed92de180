"""Defines batch normalization by the statistics of parts of a batch."""

from typing import Any

import keras
from keras import ops

from keras_wn.reparameterizations.weight_norm import Tensor


@keras.saving.register_keras_serializable(package="keras_wn")
class GhostBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization that takes its statistics over parts of the batch, the ghost batches.

    `y = (x - m) / sqrt(v + epsilon) gamma + beta`, where m and v are mean and variance of a channel
    over `ghost_batch` images, those of the part that x belongs to.

    In training, images are divided in their order. A batch of at most `ghost_batch` images is one
    part; in a graph whose batches have no fixed size, each must be a multiple of `ghost_batch`. The
    moving statistics take the mean over the parts, and inference is that of
    `keras.layers.BatchNormalization`. With `tf.distribute`, each replica divides its own images.

    Args:
        ghost_batch: Integer of at least 2, the number of images in a part. It must divide larger
            batches.
        **kwargs: Arguments of `keras.layers.BatchNormalization`, but for `renorm` and
            `synchronized`.

    Input shape:
        Any shape with at least two axes, the first of which counts the images, for example
        `(batch_size, height, width, channels)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If `ghost_batch` is not an integer of at least 2, if `renorm` or `synchronized`
            is given, or in training, if `ghost_batch` does not divide the batch.

    Example:

    >>> import numpy as np
    >>> layer = GhostBatchNormalization(ghost_batch=2, epsilon=1e-6)
    >>> x = np.array([[1.0], [3.0], [10.0], [30.0]], "float32")
    >>> np.asarray(layer(x, training=True)).round(3).ravel().tolist()
    [-1.0, 1.0, -1.0, 1.0]

    Reference: Hoffer, Hubara & Soudry 2017, arXiv 1705.08741, algorithm 1. There, the moving
    statistics take the parts one after the other.
    """

    def __init__(self, ghost_batch: int, **kwargs):
        for name in ("renorm", "synchronized"):
            if kwargs.pop(name, False):
                raise ValueError(
                    f"GhostBatchNormalization: {name}=True is not allowed. Allowed: False."
                )
        super().__init__(**kwargs)
        if not isinstance(ghost_batch, int) or isinstance(ghost_batch, bool) or ghost_batch < 2:
            raise ValueError(
                f"GhostBatchNormalization: ghost_batch={ghost_batch!r} is not allowed. Allowed: an "
                "integer of at least 2."
            )
        self.ghost_batch = ghost_batch

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        count = inputs.shape[0]
        is_one_part = count is not None and count <= self.ghost_batch
        if not (training and self.trainable) or is_one_part:
            return super().call(inputs, training=training)
        if count is not None and count % self.ghost_batch:
            raise ValueError(
                f"GhostBatchNormalization: ghost_batch={self.ghost_batch} does not divide a batch "
                f"of {count}. Allowed: divisors of the batch, or more than it has."
            )
        wide = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        shape = ops.shape(wide)
        parts = ops.reshape(wide, (-1, self.ghost_batch, *shape[1:]))
        channel_axis = self.axis % len(inputs.shape) + 1
        axes = [a for a in range(1, len(inputs.shape) + 1) if a != channel_axis]
        mean, variance = ops.moments(parts, axes=axes, keepdims=True)
        for moving, values in ((self.moving_mean, mean), (self.moving_variance, variance)):
            new = ops.reshape(ops.mean(values, axis=0), (-1,))
            moving.assign(
                moving * self.momentum + ops.cast(new, moving.dtype) * (1 - self.momentum)
            )
        parts = (parts - mean) * ops.rsqrt(variance + self.epsilon)
        broadcast = [1] * len(inputs.shape)
        broadcast[self.axis] = -1
        outputs = ops.reshape(parts, shape)
        if self.scale:
            outputs = outputs * ops.reshape(ops.cast(self.gamma, outputs.dtype), broadcast)
        if self.center:
            outputs = outputs + ops.reshape(ops.cast(self.beta, outputs.dtype), broadcast)
        return ops.cast(outputs, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("renorm", "synchronized"):
            config.pop(name, None)
        return {**config, "ghost_batch": self.ghost_batch}
