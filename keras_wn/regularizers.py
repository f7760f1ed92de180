"""Regularizers that see the weight w of a weight-normalized layer."""

import copy

import keras


@keras.saving.register_keras_serializable(package="keras_wn")
class EffectiveKernelRegularizer(keras.regularizers.Regularizer):
    """Penalty on w, where a weight-normalized layer's own regularizers see v.

    `R(g v / ||v||)` in place of `R(v)`. A penalty on v does not change what the layer computes, only the length of v and with it the
    step size; a penalty on w is what the same regularizer is on a plain layer. For L2, `||w||^2 = g^2`.

    Args:
        regularizer: Keras regularizer R, as an object, a name or a configuration.

    Raises:
        ValueError: When it is called on the kernel of a layer that is not weight-normalized.

    Example:

    >>> import keras_wn, numpy as np
    >>> on_w = EffectiveKernelRegularizer(keras.regularizers.L2(0.5))
    >>> layer = keras_wn.layers.WNDense(2, kernel_regularizer=on_w, gain_initializer="ones")
    >>> outputs = layer(np.ones((1, 3)))
    >>> round(float(layer.losses[0]), 4)
    1.0

    Reference: ours. van Laarhoven 2017, arXiv 1706.05350, on what a penalty on v does.
    """

    def __init__(self, regularizer):
        self.regularizer = keras.regularizers.get(regularizer)
        self._effective = None

    def of(self, effective):
        """This regularizer, of the w that the function `effective` returns."""
        bound = copy.copy(self)
        bound._effective = effective
        return bound

    def __call__(self, v):
        if self._effective is None:
            raise ValueError(
                "EffectiveKernelRegularizer is not allowed on the kernel of a plain layer. Allowed: kernels under weight normalization."
            )
        return self.regularizer(self._effective())

    def get_config(self):
        return {"regularizer": keras.regularizers.serialize(self.regularizer)}
