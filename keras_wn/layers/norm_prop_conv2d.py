"""2D convolution of normalization propagation."""

import keras

from keras_wn.layers.norm_prop import NormProp
from keras_wn.layers.wn_conv2d import WNConv2D


@keras.saving.register_keras_serializable(package="keras_wn")
class NormPropConv2D(NormProp, WNConv2D):
    """2D convolution with normalization propagation, to be followed by `NormalizedReLU`.

    `y = gamma (v * x) / ||v|| + beta`, with `||v|| = 1` restored after every step: a `WNConv2D` whose gain starts at
    1/1.21, whose v starts as Glorot's rescaled to unit norm, under the constraint `keras_wn.constraints.UnitNorm`.

    Args:
        filters: Positive integer, number of filters.
        kernel_size: Integer or pair of integers.
        *args, **kwargs: As `WNConv2D`, with the defaults above; these three by keyword alone: `kernel_initializer`,
            `kernel_constraint`, `gain_initializer`.

    Input shape:
        `(batch_size, height, width, channels)`, with mean 0 and variance 1 per element.

    Output shape:
        `(batch_size, new_height, new_width, filters)`.

    Example:

    >>> import numpy as np
    >>> layer = NormPropConv2D(8, 3, padding="same")
    >>> tuple(layer(np.ones((1, 5, 5, 4))).shape), round(float(layer.g[0]), 4)
    ((1, 5, 5, 8), 0.8264)

    Reference: Arpit et al. 2016, arXiv 1603.01431. Their v starts as Glorot's un-rescaled, and reaches unit norm with the first step.
    """
