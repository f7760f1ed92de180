"""Defines weight-normalized transposed convolutions."""

import keras

from keras_wn.layers.reparameterized import Reparameterized


@keras.saving.register_keras_serializable(package="keras_wn")
class WNConv1DTranspose(Reparameterized, keras.layers.Conv1DTranspose):
    """Transposed 1D convolution with weight normalization, as `WNConv2DTranspose`.

    Args:
        *args, **kwargs: Arguments of `keras.layers.Conv1DTranspose`, and those that `WNConv2D`
            adds.

    Input shape:
        `(batch_size, steps, channels)`, or channels first according to `data_format`.

    Output shape:
        `(batch_size, new_steps, filters)`, or channels first.

    Example:

    >>> import numpy as np
    >>> layer = WNConv1DTranspose(8, 3)
    >>> tuple(layer(np.ones((1, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 7, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """


@keras.saving.register_keras_serializable(package="keras_wn")
class WNConv2DTranspose(Reparameterized, keras.layers.Conv2DTranspose):
    """Transposed 2D convolution with weight normalization, `w = g v / ||v||`, as `WNConv2D`.

    There is one norm and one gain per output channel. The axes of a transposed kernel are
    `(..., output, input)`, and the norm is taken over all of them but the output axis.

    Args:
        *args, **kwargs: Arguments of `keras.layers.Conv2DTranspose`, and those that `WNConv2D`
            adds.

    Input shape:
        `(batch_size, height, width, channels)`, or channels first according to `data_format`.

    Output shape:
        `(batch_size, new_height, new_width, filters)`, or channels first.

    Example:

    >>> import numpy as np
    >>> layer = WNConv2DTranspose(8, 3)
    >>> tuple(layer(np.ones((1, 5, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 7, 7, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2. By default, PyTorch's `weight_norm`
    and the wrapper of TensorFlow Addons take one norm per *input* channel of a transposed
    convolution.
    """


@keras.saving.register_keras_serializable(package="keras_wn")
class WNConv3DTranspose(Reparameterized, keras.layers.Conv3DTranspose):
    """Transposed 3D convolution with weight normalization, as `WNConv2DTranspose`.

    Args:
        *args, **kwargs: Arguments of `keras.layers.Conv3DTranspose`, and those that `WNConv2D`
            adds.

    Input shape:
        `(batch_size, depth, height, width, channels)`, or channels first according to
        `data_format`.

    Output shape:
        `(batch_size, new_depth, new_height, new_width, filters)`, or channels first.

    Example:

    >>> import numpy as np
    >>> layer = WNConv3DTranspose(8, 3)
    >>> tuple(layer(np.ones((1, 5, 5, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 7, 7, 7, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """
