"""Defines the regularizer that acts on the effective weight w of a weight-normalized layer."""

import copy
from collections.abc import Callable
from typing import Any

import keras

from keras_wn.reparameterizations.weight_norm import Tensor


@keras.saving.register_keras_serializable(package="keras_wn")
class EffectiveKernelRegularizer(keras.regularizers.Regularizer):
    """Applies a regularizer to the effective weight w of a weight-normalized layer.

    `R(g v / ||v||)` replaces `R(v)`. Other regularizers of such a layer act on v. A penalty on v
    changes only the length of v, and with it the effective step size, but not the function that the
    layer computes. A penalty on w does what the same regularizer does on a plain layer. For L2,
    `||w||^2 = g^2`.

    Args:
        regularizer: Keras regularizer R, as an object, a name or a configuration.

    Raises:
        ValueError: If it is called on the kernel of a layer that is not weight-normalized.

    Example:

    >>> import keras_wn, numpy as np
    >>> on_w = EffectiveKernelRegularizer(keras.regularizers.L2(0.5))
    >>> layer = keras_wn.layers.WNDense(2, kernel_regularizer=on_w, gain_initializer="ones")
    >>> outputs = layer(np.ones((1, 3)))
    >>> round(float(layer.losses[0]), 4)
    1.0

    Reference: ours. van Laarhoven 2017, arXiv 1706.05350, explains the effect of a penalty on v.
    """

    def __init__(self, regularizer: Any):
        self.regularizer = keras.regularizers.get(regularizer)
        self._effective_kernel = None

    def bound_to(self, effective_kernel: Callable[[], Tensor]) -> "EffectiveKernelRegularizer":
        """Returns a copy that regularizes the w that this function returns."""
        bound = copy.copy(self)
        bound._effective_kernel = effective_kernel
        return bound

    def __call__(self, v: Tensor) -> Tensor:
        if self._effective_kernel is None:
            raise ValueError(
                "EffectiveKernelRegularizer is not allowed on the kernel of a plain layer. "
                "Allowed: kernels under weight normalization."
            )
        return self.regularizer(self._effective_kernel())

    def get_config(self) -> dict[str, Any]:
        return {"regularizer": keras.regularizers.serialize(self.regularizer)}
