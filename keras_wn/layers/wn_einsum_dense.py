"""Weight-normalized einsum layer."""

import keras

from keras_wn.layers.reparameterized import Reparameterized


@keras.saving.register_keras_serializable(package="keras_wn")
class WNEinsumDense(Reparameterized, keras.layers.EinsumDense):
    """Dense layer over any axes, with weight normalization.

    `y = activation(einsum(equation, x, w) + b)` with `w = g v / ||v||`, one norm and one gain per output unit: the norm runs over
    the kernel's axes that the output does not have.

    Args:
        equation: Text, as `"abc,cd->abd"`.
        output_shape: Integer or tuple, the output's shape without the batch.
        use_gain: Boolean, whether there is a gain g. False: `w = v / ||v||`, the strict form.
        gain_initializer: Initializer of g. None: `||v||`, so that the layer starts as `keras.layers.EinsumDense` does.
        trainable_gain: Boolean, whether g is trained. False: it stays where it starts.
        log_gain: Boolean, whether log g is trained in place of g: `g = exp(s)`.
        *args, **kwargs: As `keras.layers.EinsumDense`; its regularizers and constraints act on v. `lora_rank` and
            `quantization_config` are not supported.

    Input shape:
        As `equation` says.

    Output shape:
        As `equation` and `output_shape` say.

    Attributes:
        v, g: The trained variables; `effective_kernel`: w.

    Raises:
        ValueError: For what `keras.layers.EinsumDense` refuses, for `lora_rank` or `quantization_config`, and for an equation that
            contracts no axis of the kernel.

    Example:

    >>> import numpy as np
    >>> layer = WNEinsumDense("abc,cde->abde", output_shape=(None, 2, 6))
    >>> tuple(layer(np.ones((1, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 5, 2, 6), (2, 6))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """
