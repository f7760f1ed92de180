"""Weight-normalized transposed 2D convolution."""

import keras

from keras_wn.layers.reparameterized import Reparameterized


@keras.saving.register_keras_serializable(package="keras_wn")
class WNConv2DTranspose(Reparameterized, keras.layers.Conv2DTranspose):
    """Transposed 2D convolution with weight normalization.

    `w = g v / ||v||`, one norm and one gain per output channel. A transposed kernel is stored as `(..., output, input)`: the
    norm runs over its spatial axes and the last.

    Args:
        filters: Positive integer, number of filters.
        kernel_size: Integer, or a tuple of 2 integers.
        use_gain: Boolean, whether there is a gain g. False: `w = v / ||v||`, the strict form.
        gain_initializer: Initializer of g. None: `||v||`, so that the layer starts as `keras.layers.Conv2DTranspose` does.
        trainable_gain: Boolean, whether g is trained. False: it stays where it starts.
        log_gain: Boolean, whether log g is trained in place of g: `g = exp(s)`.
        *args, **kwargs: As `keras.layers.Conv2DTranspose`; its regularizers and constraints act on v.

    Input shape:
        `(batch_size, height, width, channels)`, or channels first as `data_format` says.

    Output shape:
        `(batch_size, new height, new width, filters)`, or channels first.

    Attributes:
        v, g: The trained variables; `effective_kernel`: w.

    Raises:
        ValueError: For what `keras.layers.Conv2DTranspose` refuses.

    Example:

    >>> import numpy as np
    >>> layer = WNConv2DTranspose(8, 3)
    >>> tuple(layer(np.ones((1, 5, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 7, 7, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2. PyTorch's `weight_norm` and TensorFlow Addons' take their
    default norm per *input* channel here.
    """
