"""Defines weight-normalized depthwise and separable convolutions."""

import keras

from keras_wn.layers.reparameterized import Reparameterized


@keras.saving.register_keras_serializable(package="keras_wn")
class WNDepthwiseConv1D(Reparameterized, keras.layers.DepthwiseConv1D):
    """Depthwise 1D convolution with weight normalization, as `WNDepthwiseConv2D`.

    Args:
        *args, **kwargs: Arguments of `keras.layers.DepthwiseConv1D`, and those that `WNConv2D`
            adds.

    Input shape:
        `(batch_size, steps, channels)`, or channels first according to `data_format`.

    Output shape:
        `(batch_size, new_steps, channels * depth_multiplier)`, or channels first.

    Example:

    >>> import numpy as np
    >>> layer = WNDepthwiseConv1D(3, depth_multiplier=2)
    >>> tuple(layer(np.ones((1, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 3, 8), (4, 2))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """


@keras.saving.register_keras_serializable(package="keras_wn")
class WNDepthwiseConv2D(Reparameterized, keras.layers.DepthwiseConv2D):
    """Depthwise 2D convolution with weight normalization, `w = g v / ||v||`, as `WNConv2D`.

    There is one norm and one gain per output channel, which is a pair of an input channel and a
    multiplier. The norm is taken over the spatial axes.

    Args:
        *args, **kwargs: Arguments of `keras.layers.DepthwiseConv2D`, and those that `WNConv2D`
            adds. Its `depthwise_initializer`, `depthwise_regularizer` and `depthwise_constraint`
            act on v.

    Input shape:
        `(batch_size, height, width, channels)`, or channels first according to `data_format`.

    Output shape:
        `(batch_size, new_height, new_width, channels * depth_multiplier)`, or channels first.

    Example:

    >>> import numpy as np
    >>> layer = WNDepthwiseConv2D(3, depth_multiplier=2)
    >>> tuple(layer(np.ones((1, 5, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 3, 3, 8), (4, 2))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """


@keras.saving.register_keras_serializable(package="keras_wn")
class WNSeparableConv1D(Reparameterized, keras.layers.SeparableConv1D):
    """Separable 1D convolution with weight normalization of both kernels, as `WNSeparableConv2D`.

    Args:
        *args, **kwargs: Arguments of `keras.layers.SeparableConv1D`, and those that
            `WNSeparableConv2D` adds.

    Input shape:
        `(batch_size, steps, channels)`, or channels first according to `data_format`.

    Output shape:
        `(batch_size, new_steps, filters)`, or channels first.

    Example:

    >>> import numpy as np
    >>> layer = WNSeparableConv1D(8, 3)
    >>> tuple(layer(np.ones((1, 5, 4))).shape), tuple(layer.g["pointwise_kernel"].shape)
    ((1, 3, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """


@keras.saving.register_keras_serializable(package="keras_wn")
class WNSeparableConv2D(Reparameterized, keras.layers.SeparableConv2D):
    """Separable 2D convolution with weight normalization of both kernels, as `WNConv2D`.

    `w = g v / ||v||`. The depthwise kernel has one norm and one gain per pair of an input channel
    and a multiplier, and the pointwise kernel has one per filter.

    Args:
        *args, **kwargs: Arguments of `keras.layers.SeparableConv2D`, and those that `WNConv2D`
            adds. `trainable_gain` may also be a dict from the names of the kernels to
            booleans. The initializers, regularizers and constraints of both kernels act on v.

    Input shape:
        `(batch_size, height, width, channels)`, or channels first according to `data_format`.

    Output shape:
        `(batch_size, new_height, new_width, filters)`, or channels first.

    Attributes:
        v: Dict from the name of a kernel to the variable of its stored direction.
        g: Dict from the name of a kernel to the variable of its gain, or `None`.
        effective_kernel: Dict from the name of a kernel to the tensor w.

    Example:

    >>> import numpy as np
    >>> layer = WNSeparableConv2D(8, 3)
    >>> tuple(layer(np.ones((1, 5, 5, 4))).shape), tuple(layer.g["pointwise_kernel"].shape)
    ((1, 3, 3, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """
