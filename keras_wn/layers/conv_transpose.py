"""Defines weight-normalized transposed convolutions."""

import keras

from keras_wn.layers.reparameterized import Reparameterized


@keras.saving.register_keras_serializable(package="keras_wn")
class WNConv1DTranspose(Reparameterized, keras.layers.Conv1DTranspose):
    """Transposed 1D convolution with weight normalization.

    `w = g v / ||v||`, one norm and one gain per output channel. The axes of a transposed kernel are
    `(..., output, input)`, and the norm is taken over all of them but the output axis.

    Args:
        filters: Positive integer, the number of filters.
        kernel_size: Integer, or a tuple of one integer.
        use_gain: Boolean, whether the layer has a gain g. If `False`, `w = v / ||v||`, the strict
            form.
        gain_initializer: Initializer of g. `None` stands for `||v||`, so that the layer starts as
            `keras.layers.Conv1DTranspose` does.
        trainable_gain: Boolean, whether g is trained. If `False`, g keeps its initial value.
        log_gain: Boolean, whether log g is trained instead of g. Then `g = exp(s)`.
        center: Boolean, whether v is replaced by `v - mean(v)`, so that each filter of w sums to 0.
        *args, **kwargs: Arguments of `keras.layers.Conv1DTranspose`. Its `kernel_initializer`,
            `kernel_regularizer` and `kernel_constraint` act on v.

    Input shape:
        `(batch_size, steps, channels)`, or channels first according to `data_format`.

    Output shape:
        `(batch_size, new_steps, filters)`, or channels first.

    Attributes:
        v: The variable of the stored direction.
        g: The variable of the gain, or `None`.
        effective_kernel: The tensor w.

    Raises:
        ValueError: If `keras.layers.Conv1DTranspose` refuses an argument.

    Example:

    >>> import numpy as np
    >>> layer = WNConv1DTranspose(8, 3)
    >>> tuple(layer(np.ones((1, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 7, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2. By default, PyTorch's `weight_norm`
    and the wrapper of TensorFlow Addons take one norm per *input* channel of a transposed
    convolution.
    """


@keras.saving.register_keras_serializable(package="keras_wn")
class WNConv2DTranspose(Reparameterized, keras.layers.Conv2DTranspose):
    """Transposed 2D convolution with weight normalization.

    `w = g v / ||v||`, one norm and one gain per output channel. The axes of a transposed kernel are
    `(..., output, input)`, and the norm is taken over all of them but the output axis.

    Args:
        filters: Positive integer, the number of filters.
        kernel_size: Integer, or a tuple of 2 integers.
        use_gain: Boolean, whether the layer has a gain g. If `False`, `w = v / ||v||`, the strict
            form.
        gain_initializer: Initializer of g. `None` stands for `||v||`, so that the layer starts as
            `keras.layers.Conv2DTranspose` does.
        trainable_gain: Boolean, whether g is trained. If `False`, g keeps its initial value.
        log_gain: Boolean, whether log g is trained instead of g. Then `g = exp(s)`.
        center: Boolean, whether v is replaced by `v - mean(v)`, so that each filter of w sums to 0.
        *args, **kwargs: Arguments of `keras.layers.Conv2DTranspose`. Its `kernel_initializer`,
            `kernel_regularizer` and `kernel_constraint` act on v.

    Input shape:
        `(batch_size, height, width, channels)`, or channels first according to `data_format`.

    Output shape:
        `(batch_size, new_height, new_width, filters)`, or channels first.

    Attributes:
        v: The variable of the stored direction.
        g: The variable of the gain, or `None`.
        effective_kernel: The tensor w.

    Raises:
        ValueError: If `keras.layers.Conv2DTranspose` refuses an argument.

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
    """Transposed 3D convolution with weight normalization.

    `w = g v / ||v||`, one norm and one gain per output channel. The axes of a transposed kernel are
    `(..., output, input)`, and the norm is taken over all of them but the output axis.

    Args:
        filters: Positive integer, the number of filters.
        kernel_size: Integer, or a tuple of 3 integers.
        use_gain: Boolean, whether the layer has a gain g. If `False`, `w = v / ||v||`, the strict
            form.
        gain_initializer: Initializer of g. `None` stands for `||v||`, so that the layer starts as
            `keras.layers.Conv3DTranspose` does.
        trainable_gain: Boolean, whether g is trained. If `False`, g keeps its initial value.
        log_gain: Boolean, whether log g is trained instead of g. Then `g = exp(s)`.
        center: Boolean, whether v is replaced by `v - mean(v)`, so that each filter of w sums to 0.
        *args, **kwargs: Arguments of `keras.layers.Conv3DTranspose`. Its `kernel_initializer`,
            `kernel_regularizer` and `kernel_constraint` act on v.

    Input shape:
        `(batch_size, depth, height, width, channels)`, or channels first according to
        `data_format`.

    Output shape:
        `(batch_size, new_depth, new_height, new_width, filters)`, or channels first.

    Attributes:
        v: The variable of the stored direction.
        g: The variable of the gain, or `None`.
        effective_kernel: The tensor w.

    Raises:
        ValueError: If `keras.layers.Conv3DTranspose` refuses an argument.

    Example:

    >>> import numpy as np
    >>> layer = WNConv3DTranspose(8, 3)
    >>> tuple(layer(np.ones((1, 5, 5, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 7, 7, 7, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2. By default, PyTorch's `weight_norm`
    and the wrapper of TensorFlow Addons take one norm per *input* channel of a transposed
    convolution.
    """
