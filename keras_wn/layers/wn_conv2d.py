"""Weight-normalized 2D convolution."""

import keras

from keras_wn.layers.output_scaled import OutputScaled


@keras.saving.register_keras_serializable(package="keras_wn")
class WNConv2D(OutputScaled, keras.layers.Conv2D):
    """2D convolution with weight normalization.

    `y = activation(w * x + b)` with `w = g v / ||v||`, one norm and one gain per filter; the norm runs over the filter's
    height, width and input channels.

    Args:
        filters: Positive integer, number of filters.
        kernel_size: Integer or pair of integers.
        use_gain: Boolean, whether there is a gain g. False: `w = v / ||v||`, the strict form.
        gain_initializer: Initializer of g. None: `||v||`, so that the layer starts as `keras.layers.Conv2D` does.
        trainable_gain: Boolean, whether g is trained. False: it stays where it starts.
        log_gain: Boolean, whether log g is trained in place of g: `g = exp(s)`.
        *args, **kwargs: As `keras.layers.Conv2D`. `kernel_initializer`, `kernel_regularizer` and `kernel_constraint`
            act on v. `lora_rank` is not supported.

    Call arguments:
        inputs: Tensor.
        scale: Tensor of shape `(filters,)` that w is multiplied by, as `JoinWeights` makes them; None for 1.

    Input shape:
        `(batch_size, height, width, channels)`, or channels first as `data_format` says.

    Output shape:
        `(batch_size, new_height, new_width, filters)`, or channels first.

    Attributes:
        v, g: The trained variables; `effective_kernel`: w.

    Raises:
        ValueError: For what `keras.layers.Conv2D` refuses, and for `lora_rank`.

    Example:

    >>> import numpy as np
    >>> layer = WNConv2D(8, 3, padding="same", activation="relu")
    >>> tuple(layer(np.ones((1, 5, 5, 4))).shape)
    (1, 5, 5, 8)
    >>> tuple(layer.v.shape), tuple(layer.g.shape)
    ((3, 3, 4, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2. Theirs starts from `v ~ N(0, 0.05)` and a data-dependent g
    (see `keras_wn.data_dependent_init`); this one starts, by default, from the Keras initializer and `g = ||v||`.
    """
