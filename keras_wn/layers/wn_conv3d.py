"""Weight-normalized 3D convolution."""

import keras

from keras_wn.layers.output_scaled import OutputScaled


@keras.saving.register_keras_serializable(package="keras_wn")
class WNConv3D(OutputScaled, keras.layers.Conv3D):
    """3D convolution with weight normalization.

    `y = activation(w * x + b)` with `w = g v / ||v||`, one norm and one gain per filter over its volume and input channels.

    Args:
        filters: Positive integer, number of filters.
        kernel_size: Integer, or a tuple of 3 integers.
        use_gain: Boolean, whether there is a gain g. False: `w = v / ||v||`, the strict form.
        gain_initializer: Initializer of g. None: `||v||`, so that the layer starts as `keras.layers.Conv3D` does.
        trainable_gain: Boolean, whether g is trained. False: it stays where it starts.
        log_gain: Boolean, whether log g is trained in place of g: `g = exp(s)`.
        *args, **kwargs: As `keras.layers.Conv3D`; its regularizers and constraints act on v. `lora_rank` is not supported.

    Call arguments:
        inputs: Tensor.
        scale: Tensor of shape `(filters,)` that w is multiplied by, as `JoinWeights` makes them; None for 1.

    Input shape:
        `(batch_size, depth, height, width, channels)`, or channels first as `data_format` says.

    Output shape:
        `(batch_size, new depth, new height, new width, filters)`, or channels first.

    Attributes:
        v, g: The trained variables; `effective_kernel`: w.

    Raises:
        ValueError: For what `keras.layers.Conv3D` refuses, and for `lora_rank`.

    Example:

    >>> import numpy as np
    >>> layer = WNConv3D(8, 3, padding="same")
    >>> tuple(layer(np.ones((1, 5, 5, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 5, 5, 5, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """
