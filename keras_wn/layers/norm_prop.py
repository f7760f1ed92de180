"""Defines the layers of normalization propagation."""

import keras
from keras import ops

from keras_wn.constraints import UnitNorm
from keras_wn.initializers import UnitFilters
from keras_wn.layers import gains
from keras_wn.layers.activations import NormalizedReLU, translated_relu
from keras_wn.layers.conv import WNConv2D
from keras_wn.layers.dense import WNDense
from keras_wn.reparameterizations.weight_norm import Tensor

# The initial gain of Arpit et al. 2016, arXiv 1603.01431. It keeps the norm of a unit's Jacobian
# near 1 after the division by 0.58382 in `NormalizedReLU`.
INITIAL_GAIN = 1 / 1.21


class _NormProp:
    """Mixin, placed before a weight-normalized layer class, that sets the method's defaults.

    If the activation of the layer is a `NormalizedReLU`, its division and its subtraction become
    part of the kernel and of the bias, so that it costs no more than a ReLU.
    """

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("kernel_initializer", UnitFilters("glorot_uniform"))
        kwargs.setdefault("kernel_constraint", UnitNorm())
        kwargs.setdefault("gain_initializer", keras.initializers.Constant(INITIAL_GAIN))
        super().__init__(*args, **kwargs)

    def call(self, inputs: Tensor, *, scale: Tensor | None = None) -> Tensor:
        if not self._has_foldable_activation():
            return super().call(inputs, scale=scale)
        # With mean m and standard deviation s of the activation, and z the linear output of the
        # layer, (relu(z) - m) / s = max(z / s - m / s, -m / s). The division and the subtraction
        # are put into the kernel and the bias.
        std, shift = self.activation.std, self.activation.mean / self.activation.std
        ((kernel, gain),) = self.kernels_and_gains()
        factor = ops.full(kernel.units_shape, 1 / std) * (1.0 if scale is None else scale)
        if self._output_is_smaller(inputs.shape):
            factor = self._along_units(gains.scale(kernel, gain, factor))
            outputs = self._linear(inputs, self.kernel) * factor
        else:
            outputs = self._linear(inputs, gains.effective(kernel, gain, factor))
        bias = self.bias / std - shift if self.use_bias else -shift
        outputs = outputs + (self._along_units(bias) if self.use_bias else bias)
        return translated_relu(outputs, ops.full([1] * len(outputs.shape), -shift, outputs.dtype))

    def _has_foldable_activation(self):
        # In half precision, `z / s - m / s` would round a small z away, with its gradient.
        return (
            isinstance(self.activation, NormalizedReLU)
            and not self.activation.negative_slope
            and self.activation.compute_dtype == self.compute_dtype
            and self.compute_dtype in ("float32", "float64")
            and self._is_linear_in_kernel()
        )


@keras.saving.register_keras_serializable(package="keras_wn")
class NormPropDense(_NormProp, WNDense):
    """Dense layer with normalization propagation, to be followed by `NormalizedReLU`.

    `y = gamma (x v) / ||v|| + beta`, where a constraint restores `||v|| = 1` after every step. This
    is a `WNDense` whose gain gamma starts at 1/1.21, whose v starts as Glorot's rescaled to unit
    norm, and whose kernel has the constraint `keras_wn.constraints.UnitNorm`.

    Args:
        *args, **kwargs: Arguments of `WNDense`. `kernel_initializer`, `kernel_constraint` and
            `gain_initializer` have the defaults above, and must be given by keyword.

    Input shape:
        `(batch_size, ..., input_dim)`, where each element has mean 0 and variance 1.

    Output shape:
        `(batch_size, ..., units)`.

    Example:

    >>> import numpy as np
    >>> layer = NormPropDense(2)
    >>> tuple(layer(np.ones((1, 3))).shape), round(float(layer.g[0]), 4)
    ((1, 2), 0.8264)

    Reference: Arpit et al. 2016, arXiv 1603.01431. In the paper, v starts as Glorot's without being
    rescaled, and has unit norm after the first step.
    """


@keras.saving.register_keras_serializable(package="keras_wn")
class NormPropConv2D(_NormProp, WNConv2D):
    """2D convolution with normalization propagation, to be followed by `NormalizedReLU`.

    `y = gamma (v * x) / ||v|| + beta`. This is a `WNConv2D` with the gain, the start of v and the
    constraint of `NormPropDense`.

    Args:
        *args, **kwargs: Arguments of `WNConv2D`. `kernel_initializer`, `kernel_constraint` and
            `gain_initializer` have other defaults, and must be given by keyword.

    Input shape:
        `(batch_size, height, width, channels)`, where each element has mean 0 and variance 1.

    Output shape:
        `(batch_size, new_height, new_width, filters)`.

    Example:

    >>> import numpy as np
    >>> layer = NormPropConv2D(8, 3, padding="same")
    >>> tuple(layer(np.ones((1, 5, 5, 4))).shape), round(float(layer.g[0]), 4)
    ((1, 5, 5, 8), 0.8264)

    Reference: Arpit et al. 2016, arXiv 1603.01431. In the paper, v starts as Glorot's without being
    rescaled, and has unit norm after the first step.
    """
