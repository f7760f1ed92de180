"""Defines weight-normalized dense layers and the weight-normalized embedding."""

from typing import Any

import keras

from keras_wn.layers import gains
from keras_wn.layers.reparameterized import OutputScaled, Reparameterized


@keras.saving.register_keras_serializable(package="keras_wn")
class WNDense(OutputScaled, keras.layers.Dense):
    """Densely connected layer with weight normalization.

    `y = activation(x w + b)` with `w = g v / ||v||`, one norm and one gain per output unit.

    Args:
        units: Positive integer, the dimension of the output.
        use_gain: Boolean, whether the layer has a gain g. If `False`, `w = v / ||v||`, the strict
            form.
        gain_initializer: Initializer of g. `None` stands for `||v||`, so that the layer starts as
            `keras.layers.Dense` does.
        trainable_gain: Boolean, whether g is trained. If `False`, g keeps its initial value.
        log_gain: Boolean, whether log g is trained instead of g. Then `g = exp(s)` stays positive
            (section 2.1 of the paper).
        center: Boolean, whether v is replaced by `v - mean(v)`, so that each unit of w sums to 0.
        *args, **kwargs: Arguments of `keras.layers.Dense`. Its `kernel_initializer`,
            `kernel_regularizer` and `kernel_constraint` act on v. `lora_rank` and
            `quantization_config` are not supported.

    Call arguments:
        inputs: Tensor.
        scale: Tensor of shape `(units,)` that multiplies w, for example an output of `JoinWeights`.
            `None` stands for 1.

    Input shape:
        `(batch_size, ..., input_dim)`.

    Output shape:
        `(batch_size, ..., units)`.

    Attributes:
        v: The variable of the stored direction.
        g: The variable of the gain, or `None`.
        effective_kernel: The tensor w.

    Raises:
        ValueError: If `keras.layers.Dense` refuses an argument, or if `lora_rank` or
            `quantization_config` is given.

    Example:

    >>> import numpy as np
    >>> layer = WNDense(2, gain_initializer="ones")
    >>> layer(np.ones((1, 3))).shape[1]
    2
    >>> [round(float(x), 4) for x in np.linalg.norm(layer.effective_kernel, axis=0)]
    [1.0, 1.0]

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2. The paper starts from `v ~ N(0,
    0.05)` and a g that depends on data (see `keras_wn.data_dependent_init`). This layer starts, by
    default, from the Keras initializer and `g = ||v||`.
    """


@keras.saving.register_keras_serializable(package="keras_wn")
class WNEinsumDense(Reparameterized, keras.layers.EinsumDense):
    """Dense layer over any axes, with weight normalization, as `WNDense`.

    `y = activation(einsum(equation, x, w) + b)` with `w = g v / ||v||`, one norm and one gain per
    output unit. The norm is taken over the axes of the kernel that the output does not have.

    Args:
        *args, **kwargs: Arguments of `keras.layers.EinsumDense`, and those that `WNDense` adds.

    Input shape:
        As `equation` says.

    Output shape:
        As `equation` and `output_shape` say.

    Raises:
        ValueError: As `WNDense`, or if the equation contracts no axis of the kernel.

    Example:

    >>> import numpy as np
    >>> layer = WNEinsumDense("abc,cde->abde", output_shape=(None, 2, 6))
    >>> tuple(layer(np.ones((1, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 5, 2, 6), (2, 6))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """


@keras.saving.register_keras_serializable(package="keras_wn")
class WNEmbedding(Reparameterized, keras.layers.Embedding):
    """Embedding with weight normalization, as `WNDense`.

    `w = g v / ||v||`, one norm and one gain per token: g is the length of the token's vector.

    Args:
        weights: Matrix of shape `(input_dim, output_dim)`, or a list that contains it, the initial
            value of v. It is also the initial value of w, unless a `gain_initializer` gives the
            rows other lengths.
        *args, **kwargs: Other arguments of `keras.layers.Embedding`, and those that `WNDense`
            adds. Its `embeddings_initializer`, `embeddings_regularizer` and
            `embeddings_constraint` act on v.

    Input shape:
        `(batch_size, ...)` of integers.

    Output shape:
        `(batch_size, ..., output_dim)`.

    Example:

    >>> import numpy as np
    >>> layer = WNEmbedding(10, 4)
    >>> tuple(layer(np.array([[1, 2, 3]])).shape), tuple(layer.g.shape)
    ((1, 3, 4), (10,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2, which does not discuss embeddings.
    As a dense layer on one-hot vectors, an embedding would have one norm per *column*. One norm per
    token is what PyTorch's `weight_norm` computes.
    """

    def __init__(self, *args, weights: Any = None, **kwargs):
        super().__init__(*args, **kwargs)
        if weights is not None:
            self.build()
            if isinstance(weights, list) and len(weights) == 1:
                (weights,) = weights
            self.v.assign(weights)
            if self.use_gain and self.gain_initializer is None:
                for kernel, gain in self.kernels_and_gains():
                    gain.assign(gains.norm_of(kernel))
