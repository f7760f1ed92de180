"""Defines mean-only batch normalization."""

from typing import Any

import keras
from keras import initializers, ops

from keras_wn.layers import masks
from keras_wn.reparameterizations.weight_norm import Tensor


@keras.saving.register_keras_serializable(package="keras_wn")
class MeanOnlyBatchNormalization(keras.layers.Layer):
    """Batch normalization of the mean only, without a division by the standard deviation.

    `y = x - mean(x) + beta`, where the mean is taken per channel over the batch and all positions,
    and beta is learned. In inference, and while the layer is frozen (`trainable = False`), the mean
    is a moving average that each training step updates:
    `moving_mean <- momentum moving_mean + (1 - momentum) mean(x)`.

    The layer is made to follow a weight-normalized layer without a bias, whose gain sets the scale.

    Args:
        axis: Integer, the channel axis.
        momentum: Float in [0, 1).
        beta_initializer: Initializer of beta.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any shape with a known number of channels, for example
        `(batch_size, height, width, channels)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If `momentum` is out of range, or if `axis` lies outside of the input or names a
            dimension of unknown size.

    Example:

    >>> import numpy as np
    >>> layer = MeanOnlyBatchNormalization(momentum=0.9)
    >>> np.asarray(layer(np.array([[1.0, 10.0], [3.0, 30.0]]), training=True)).tolist()
    [[-1.0, -10.0], [1.0, 10.0]]
    >>> [round(m, 4) for m in np.asarray(layer.moving_mean).tolist()]
    [0.2, 2.0]

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 7. The momentum in the authors' code is
    0.9. Means are computed in float32 or wider. As with `keras.layers.BatchNormalization`, each
    replica of `tf.distribute` uses its own mean. The layer has no `synchronized` option.
    Positions that a mask leaves out do not count in the mean of the batch.
    """

    def __init__(
        self, axis: int = -1, momentum: float = 0.99, beta_initializer: Any = "zeros", **kwargs
    ):
        super().__init__(**kwargs)
        if not 0 <= momentum < 1:
            raise ValueError(
                f"MeanOnlyBatchNormalization: momentum={momentum!r} is not allowed. "
                "Allowed: at least 0 and less than 1."
            )
        self.axis = axis
        self.supports_masking = True
        self.momentum = momentum
        self.beta_initializer = initializers.get(beta_initializer)

    def build(self, input_shape: tuple) -> None:
        rank = len(input_shape)
        if not -rank <= self.axis < rank or input_shape[self.axis] is None:
            raise ValueError(
                f"MeanOnlyBatchNormalization: axis={self.axis} must name a dimension of known "
                f"size, {-rank} to {rank - 1}. Received: input_shape={input_shape}."
            )
        channels = input_shape[self.axis]
        self.input_spec = keras.InputSpec(ndim=rank, axes={self.axis: channels})
        # Declare the weights as Keras' batch normalization does, so that training under
        # tf.distribute treats both layers alike.
        self.beta = self.add_weight(
            name="beta", shape=(channels,), initializer=self.beta_initializer, autocast=False
        )
        self.moving_mean = self.add_weight(
            name="moving_mean",
            shape=(channels,),
            initializer="zeros",
            trainable=False,
            autocast=False,
        )

    def call(self, inputs: Tensor, training: bool = False, mask: Tensor | None = None) -> Tensor:
        wide = keras.backend.result_type(inputs.dtype, "float32")
        moving_mean = ops.cast(self.moving_mean, wide)
        if training and self.trainable:
            mean = self.batch_mean(inputs, mask)
            self.moving_mean.assign(moving_mean * self.momentum + mean * (1 - self.momentum))
        else:
            mean = moving_mean
        shape = [1] * len(inputs.shape)
        shape[self.axis] = -1
        shift = ops.reshape(ops.cast(self.beta, wide) - mean, shape)
        return ops.cast(ops.cast(inputs, wide) + shift, self.compute_dtype)

    def batch_mean(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns the mean that is subtracted in training.

        Args:
            inputs: Tensor, an input of the layer.
            mask: Tensor of booleans, of the shape of the input without the last axis, or `None`.

        Returns:
            Tensor with one number per channel, in float32 or wider.
        """
        inputs = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        channel_axis = self.axis % len(inputs.shape)
        axes = [a for a in range(len(inputs.shape)) if a != channel_axis]
        total, count = masks.sum_and_count(inputs, masks.weights_of(inputs, mask), axes)
        return ops.reshape(masks.ratio(total, count), (-1,))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "beta_initializer": initializers.serialize(self.beta_initializer),
        }
