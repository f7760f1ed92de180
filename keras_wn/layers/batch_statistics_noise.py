"""Defines a layer that adds noise like that of batch normalization, which comes from its batch."""

from typing import Any

import keras
from keras import ops

from keras_wn.layers import masks
from keras_wn.reparameterizations.weight_norm import Tensor

# Added to variances, as batch normalization does, so that constant channels have no noise.
_EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="keras_wn")
class BatchStatisticsNoise(keras.layers.Layer):
    """Adds the noise that batch normalization has from the statistics of a small batch.

    `y = (x - m') s / s' + m`, where m and s are mean and standard deviation of a channel over the
    images at hand, and m' and s' those of `batch_size` images that are drawn from them, with
    replacement, anew in each step. Batch normalization divides by s' where the whole data would
    have s; this layer has that noise, and does not normalize. With large batches, y is x. Positions
    that a mask leaves out do not count.

    The four numbers are constants to the gradient. In inference, `y = x`. With `tf.distribute`, the
    images are those of the replica.

    Args:
        batch_size: Integer of at least 2, the size of the batch whose noise is imitated. The noise
            falls with its square root.
        axis: Integer, the channel axis.
        seed: Integer, or `None` for one that Keras draws.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any shape with at least two axes, the first of which counts the images, for example
        `(batch_size, height, width, channels)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If `batch_size` is not an integer of at least 2, or if `axis` is not an axis of
            the input other than the first.

    Example:

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(5.0, 2.0, (256, 8)).astype("float32")
    >>> layer = BatchStatisticsNoise(batch_size=16, seed=0)
    >>> bool(np.all(np.asarray(layer(x)) == x))
    True
    >>> noise = np.asarray(layer(x, training=True)).mean(axis=0) - x.mean(axis=0)
    >>> bool(0.1 < np.std(noise) < 1.0)  # 2 / sqrt(16) = 0.5 in the mean of many steps
    True

    Reference: ours. For the noise of batch normalization see Luo et al. 2019, arXiv 1809.00846,
    whose formulas are those of independent Gaussian numbers: variances `s^2 / B` of m' and
    `s^2 (kurtosis + 2) / (4 B)` of s', with the excess kurtosis. Drawing images instead keeps what
    the positions of an image have in common, and the noise that the channels have in common. The
    code of epfml/ghost-noise draws in the same way, but anew for every image.
    """

    def __init__(self, batch_size: int, axis: int = -1, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 2:
            raise ValueError(
                f"BatchStatisticsNoise: batch_size={batch_size!r} is not allowed. Allowed: an "
                "integer of at least 2."
            )
        self.batch_size = batch_size
        self.axis = axis
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape: tuple) -> None:
        rank = len(input_shape)
        if not -rank <= self.axis < rank or self.axis % rank == 0:
            raise ValueError(
                f"BatchStatisticsNoise: axis={self.axis} must be an axis other than the first, 1 "
                f"to {rank - 1}. Received: input_shape={input_shape}."
            )

    def call(self, inputs: Tensor, training: bool = False, mask: Tensor | None = None) -> Tensor:
        if not training:
            return inputs
        scale, shift = self._scale_and_shift(ops.stop_gradient(inputs), mask)
        return inputs * ops.cast(scale, inputs.dtype) + ops.cast(shift, inputs.dtype)

    def _scale_and_shift(self, inputs, mask):
        """Returns `s / s'` and `m - m' s / s'`, each broadcast along the channels."""
        wide = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        rank = len(inputs.shape)
        positions = [a for a in range(1, rank) if a != self.axis % rank]
        weights = masks.weights_of(wide, mask)
        # Subtract the mean first, because a difference of large squares would lose digits.
        mean = masks.ratio(*masks.sum_and_count(wide, weights, [0, *positions]))
        deviations = wide - mean
        sums, counts = masks.sum_and_count(deviations, weights, positions)
        squares, _ = masks.sum_and_count(ops.square(deviations), weights, positions)
        counts = ops.broadcast_to(counts, ops.shape(sums))
        count = ops.shape(wide)[0]
        uniform = keras.random.uniform((self.batch_size,), seed=self.seed_generator)
        drawn = ops.cast(uniform * ops.cast(count, uniform.dtype), "int32")
        # The product may be rounded up to the number of images.
        drawn = ops.minimum(drawn, count - 1)

        def sum_of_drawn(of_images):
            return ops.sum(ops.take(of_images, drawn, axis=0), axis=0, keepdims=True)

        drawn_count = sum_of_drawn(counts)
        drawn_mean = masks.ratio(sum_of_drawn(sums), drawn_count)
        drawn_square = masks.ratio(sum_of_drawn(squares), drawn_count)
        drawn_variance = ops.maximum(drawn_square - ops.square(drawn_mean), 0.0)
        variance = masks.ratio(
            ops.sum(squares, axis=0, keepdims=True), ops.sum(counts, axis=0, keepdims=True)
        )
        scale = ops.sqrt((variance + _EPSILON) / (drawn_variance + _EPSILON))
        # `drawn_mean` is m' - m, because the deviations have mean 0.
        return scale, mean - scale * (mean + drawn_mean)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "batch_size": self.batch_size,
            "axis": self.axis,
            "seed": self.seed,
        }
