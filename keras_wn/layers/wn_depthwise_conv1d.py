"""Weight-normalized depthwise 1D convolution."""

import keras

from keras_wn.layers.reparameterized import Reparameterized


@keras.saving.register_keras_serializable(package="keras_wn")
class WNDepthwiseConv1D(Reparameterized, keras.layers.DepthwiseConv1D):
    """Depthwise 1D convolution with weight normalization.

    `w = g v / ||v||`, one norm and one gain per output channel, that is per input channel and multiplier, over the spatial axes.

    Args:
        kernel_size: Integer, or a tuple of one integer.
        use_gain: Boolean, whether there is a gain g. False: `w = v / ||v||`, the strict form.
        gain_initializer: Initializer of g. None: `||v||`, so that the layer starts as `keras.layers.DepthwiseConv1D` does.
        trainable_gain: Boolean, whether g is trained. False: it stays where it starts.
        log_gain: Boolean, whether log g is trained in place of g: `g = exp(s)`.
        *args, **kwargs: As `keras.layers.DepthwiseConv1D`; its regularizers and constraints act on v.

    Input shape:
        `(batch_size, steps, channels)`, or channels first as `data_format` says.

    Output shape:
        `(batch_size, new steps, channels * depth_multiplier)`, or channels first.

    Attributes:
        v, g: The trained variables; `effective_kernel`: w.

    Raises:
        ValueError: For what `keras.layers.DepthwiseConv1D` refuses.

    Example:

    >>> import numpy as np
    >>> layer = WNDepthwiseConv1D(3, depth_multiplier=2)
    >>> tuple(layer(np.ones((1, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 3, 8), (4, 2))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """
