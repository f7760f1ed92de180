"""Weight-normalized dense layer."""

import keras

from keras_wn.layers.output_scaled import OutputScaled


@keras.saving.register_keras_serializable(package="keras_wn")
class WNDense(OutputScaled, keras.layers.Dense):
    """Densely connected layer with weight normalization.

    `y = activation(x w + b)` with `w = g v / ||v||`, one norm and one gain per output unit.

    Args:
        units: Positive integer, dimension of the output.
        use_gain: Boolean, whether there is a gain g. False: `w = v / ||v||`, the strict form.
        gain_initializer: Initializer of g. None: `||v||`, so that the layer starts as `keras.layers.Dense` does.
        trainable_gain: Boolean, whether g is trained. False: it stays where it starts.
        log_gain: Boolean, whether log g is trained in place of g: `g = exp(s)`.
        *args, **kwargs: As `keras.layers.Dense`. `kernel_initializer`, `kernel_regularizer` and `kernel_constraint`
            act on v. `lora_rank` and `quantization_config` are not supported.

    Call arguments:
        inputs: Tensor.
        scale: Tensor of shape `(units,)` that w is multiplied by, as `JoinWeights` makes them; None for 1.

    Input shape:
        `(batch_size, ..., input_dim)`.

    Output shape:
        `(batch_size, ..., units)`.

    Attributes:
        v, g: The trained variables; `effective_kernel`: w.

    Raises:
        ValueError: For what `keras.layers.Dense` refuses, and for `lora_rank` or `quantization_config`.

    Example:

    >>> import numpy as np
    >>> layer = WNDense(2, gain_initializer="ones")
    >>> layer(np.ones((1, 3))).shape[1]
    2
    >>> [round(float(x), 4) for x in np.linalg.norm(layer.effective_kernel, axis=0)]
    [1.0, 1.0]

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2. Theirs starts from `v ~ N(0, 0.05)` and a data-dependent g
    (see `keras_wn.data_dependent_init`); this one starts, by default, from the Keras initializer and `g = ||v||`.
    """
