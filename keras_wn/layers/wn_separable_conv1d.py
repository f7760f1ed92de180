"""Weight-normalized separable 1D convolution."""

import keras

from keras_wn.layers.reparameterized import Reparameterized


@keras.saving.register_keras_serializable(package="keras_wn")
class WNSeparableConv1D(Reparameterized, keras.layers.SeparableConv1D):
    """Separable 1D convolution with weight normalization of both kernels.

    `w = g v / ||v||` for the depthwise kernel, one norm per input channel and multiplier, and for the pointwise kernel, one
    norm per filter.

    Args:
        filters: Positive integer, number of filters.
        kernel_size: Integer, or a tuple of one integer.
        use_gain: Boolean, whether there is a gain g. False: `w = v / ||v||`, the strict form.
        gain_initializer: Initializer of g. None: `||v||`, so that the layer starts as `keras.layers.SeparableConv1D` does.
        trainable_gain: Boolean, whether g is trained. False: it stays where it starts. Or a dict from the kernels' names.
        log_gain: Boolean, whether log g is trained in place of g: `g = exp(s)`.
        *args, **kwargs: As `keras.layers.SeparableConv1D`; its regularizers and constraints act on v.

    Input shape:
        `(batch_size, steps, channels)`, or channels first as `data_format` says.

    Output shape:
        `(batch_size, new steps, filters)`, or channels first.

    Attributes:
        v, g: Dicts of the trained variables by kernel name; `effective_kernel`: dict of w.

    Raises:
        ValueError: For what `keras.layers.SeparableConv1D` refuses.

    Example:

    >>> import numpy as np
    >>> layer = WNSeparableConv1D(8, 3)
    >>> tuple(layer(np.ones((1, 5, 4))).shape), tuple(layer.g["pointwise_kernel"].shape)
    ((1, 3, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """
