"""Defines batch normalization by the statistics of parts of a batch."""

from typing import Any

import keras
from keras import ops

from keras_wn.layers import masks
from keras_wn.reparameterizations.weight_norm import Tensor


@keras.saving.register_keras_serializable(package="keras_wn")
class GhostBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization that takes its statistics over parts of the batch, the ghost batches.

    `y = (x - m) / sqrt(v + epsilon) gamma + beta`, where m and v are mean and variance of a channel
    over `ghost_batch` images, those of the part that x belongs to.

    In training, images are divided in their order; the last part has the rest. The moving
    statistics take the mean over the parts, by the images in them, and inference is that of
    `keras.layers.BatchNormalization`. Positions that a mask leaves out do not count. With
    `tf.distribute`, each replica divides its own images.

    Args:
        ghost_batch: Integer of at least 2, the number of images in a part.
        **kwargs: Arguments of `keras.layers.BatchNormalization`, but for `renorm` and
            `synchronized`.

    Call arguments:
        inputs: Tensor.
        training: Boolean.
        mask: Tensor of booleans, of the shape of the input without the last axis, or `None`.

    Input shape:
        Any shape with at least two axes, the first of which counts the images, for example
        `(batch_size, height, width, channels)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If `ghost_batch` is not an integer of at least 2, if `renorm` or `synchronized`
            is given, or if the mask has another rank.

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

    def call(self, inputs: Tensor, training: bool = False, mask: Tensor | None = None) -> Tensor:
        count = inputs.shape[0]
        is_one_part = count is not None and count <= self.ghost_batch
        if not (training and self.trainable) or is_one_part:
            return super().call(inputs, training=training, mask=mask)
        wide = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        weights = masks.weights_of(wide, mask)
        rank = len(inputs.shape)
        axes = [a for a in range(1, rank) if a != self.axis % rank]
        total, count = masks.sum_and_count(wide, weights, axes)
        count = self._sum_over_parts(ops.broadcast_to(count, ops.shape(total)))
        mean = masks.ratio(self._sum_over_parts(total), count)
        deviations = wide - self._of_each_image(mean, wide)
        squares, _ = masks.sum_and_count(ops.square(deviations), weights, axes)
        variance = masks.ratio(self._sum_over_parts(squares), count)
        for moving, values in ((self.moving_mean, mean), (self.moving_variance, variance)):
            new = masks.ratio(ops.sum(values * count, axis=0), ops.sum(count, axis=0))
            new = ops.cast(ops.reshape(new, (-1,)), moving.dtype)
            moving.assign(moving * self.momentum + new * (1 - self.momentum))
        outputs = deviations * self._of_each_image(ops.rsqrt(variance + self.epsilon), wide)
        broadcast = [1] * rank
        broadcast[self.axis] = -1
        if self.scale:
            outputs = outputs * ops.reshape(ops.cast(self.gamma, outputs.dtype), broadcast)
        if self.center:
            outputs = outputs + ops.reshape(ops.cast(self.beta, outputs.dtype), broadcast)
        return ops.cast(outputs, self.compute_dtype)

    def _sum_over_parts(self, of_images):
        """Sums numbers of the images over each part. The last part is filled with zeros."""
        others = tuple(of_images.shape[1:])
        filling = ops.zeros((self.ghost_batch - 1, *others), of_images.dtype)
        parts = -(-ops.shape(of_images)[0] // self.ghost_batch)
        filled = ops.concatenate([of_images, filling])[: parts * self.ghost_batch]
        return ops.sum(ops.reshape(filled, (-1, self.ghost_batch, *others)), axis=1)

    def _of_each_image(self, of_parts, inputs):
        """Repeats the numbers of each part for its images."""
        return ops.repeat(of_parts, self.ghost_batch, axis=0)[: ops.shape(inputs)[0]]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for name in ("renorm", "synchronized"):
            config.pop(name, None)
        return {**config, "ghost_batch": self.ghost_batch}
