"""Weight-normalized 1D convolution."""

import keras

from keras_wn.layers.output_scaled import OutputScaled


@keras.saving.register_keras_serializable(package="keras_wn")
class WNConv1D(OutputScaled, keras.layers.Conv1D):
    """1D convolution with weight normalization.

    `y = activation(w * x + b)` with `w = g v / ||v||`, one norm and one gain per filter over its taps and input channels.

    Args:
        filters: Positive integer, number of filters.
        kernel_size: Integer, or a tuple of one integer.
        use_gain: Boolean, whether there is a gain g. False: `w = v / ||v||`, the strict form.
        gain_initializer: Initializer of g. None: `||v||`, so that the layer starts as `keras.layers.Conv1D` does.
        trainable_gain: Boolean, whether g is trained. False: it stays where it starts.
        log_gain: Boolean, whether log g is trained in place of g: `g = exp(s)`.
        *args, **kwargs: As `keras.layers.Conv1D`; its regularizers and constraints act on v. `lora_rank` is not supported.

    Call arguments:
        inputs: Tensor.
        scale: Tensor of shape `(filters,)` that w is multiplied by, as `JoinWeights` makes them; None for 1.

    Input shape:
        `(batch_size, steps, channels)`, or channels first as `data_format` says.

    Output shape:
        `(batch_size, new steps, filters)`, or channels first.

    Attributes:
        v, g: The trained variables; `effective_kernel`: w.

    Raises:
        ValueError: For what `keras.layers.Conv1D` refuses, and for `lora_rank`.

    Example:

    >>> import numpy as np
    >>> layer = WNConv1D(8, 3, padding="causal")
    >>> tuple(layer(np.ones((1, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 5, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """
