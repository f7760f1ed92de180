"""Translated ReLU."""

import keras
from keras import initializers, ops

from keras_wn.layers.translated_relu import translated_relu


@keras.saving.register_keras_serializable(package="keras_wn")
class TReLU(keras.layers.Layer):
    """Translated ReLU: ReLU with a learned threshold per channel.

    `y = relu(x - alpha) + alpha`, that is `x` where `x > alpha`, else `alpha`.

    Args:
        alpha_initializer: Initializer of alpha; at 0 the layer is ReLU.
        axis: Integer, the channel axis.
        **kwargs: As `keras.layers.Layer`.

    Input shape:
        Any with the channel axis known, for example `(batch_size, height, width, channels)`.

    Output shape:
        As the input.

    Raises:
        ValueError: If `axis` lies outside the input, or names a dimension of unknown size.

    Example:

    >>> import numpy as np
    >>> layer = TReLU(alpha_initializer=keras.initializers.Constant(-1.0))
    >>> np.asarray(layer(np.array([[-3.0, -0.5, 2.0]]))).tolist()
    [[-1.0, -0.5, 2.0]]

    Reference: Xiang & Li 2017, arXiv 1704.03971. At `x = alpha` the gradient goes to alpha, as it does in their `relu(x - alpha) + alpha`.
    """

    def __init__(self, alpha_initializer="zeros", axis=-1, **kwargs):
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.axis = axis
        self.supports_masking = True

    def build(self, input_shape):
        rank = len(input_shape)
        if not -rank <= self.axis < rank or input_shape[self.axis] is None:
            raise ValueError(
                f"TReLU: axis={self.axis} must name a dimension of known size, {-rank} to {rank - 1}. Received: input_shape={input_shape}."
            )
        self.alpha = self.add_weight(name="alpha", shape=(input_shape[self.axis],), initializer=self.alpha_initializer)

    def call(self, inputs):
        shape = [1] * len(inputs.shape)
        shape[self.axis] = -1
        return translated_relu(inputs, ops.reshape(self.alpha, shape))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "axis": self.axis,
        }
