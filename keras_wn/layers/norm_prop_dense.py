"""Dense layer of normalization propagation."""

import keras

from keras_wn.layers.norm_prop import NormProp
from keras_wn.layers.wn_dense import WNDense


@keras.saving.register_keras_serializable(package="keras_wn")
class NormPropDense(NormProp, WNDense):
    """Dense layer with normalization propagation, to be followed by `NormalizedReLU`.

    `y = gamma (x v) / ||v|| + beta`, with `||v|| = 1` restored after every step: a `WNDense` whose gain starts at 1/1.21,
    whose v starts as Glorot's rescaled to unit norm, under the constraint `keras_wn.constraints.UnitNorm`.

    Args:
        units: Positive integer, dimension of the output.
        *args, **kwargs: As `WNDense`, with the defaults above; these three by keyword alone: `kernel_initializer`,
            `kernel_constraint`, `gain_initializer`.

    Input shape:
        `(batch_size, ..., input_dim)`, with mean 0 and variance 1 per element.

    Output shape:
        `(batch_size, ..., units)`.

    Example:

    >>> import numpy as np
    >>> layer = NormPropDense(2)
    >>> tuple(layer(np.ones((1, 3))).shape), round(float(layer.g[0]), 4)
    ((1, 2), 0.8264)

    Reference: Arpit et al. 2016, arXiv 1603.01431. Their v starts as Glorot's un-rescaled, and reaches unit norm with the first step.
    """
