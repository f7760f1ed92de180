"""Weight normalization by scaling what comes out of a layer, in place of the kernel that goes in."""

import math

from keras import ops

from keras_wn.layers import gains
from keras_wn.layers.reparameterized import Reparameterized

# What a batch of unknown size is taken for.
_USUAL_BATCH = 32


class OutputScaled(Reparameterized):
    """Mixin, placed before Keras' dense or convolution layer: `y = (x v) (g / ||v||)` where that is less work.

    `layer(x, scale=c)` multiplies w by a tensor c, a number per unit: a gain that comes from elsewhere, as `JoinWeights` does.

    The output is scaled where the kernel has more numbers than it, as in dense layers and in the last stages of a convolutional net.
    Elsewhere `y = x (v g / ||v||)`, as in `Reparameterized`; both are equal but for rounding. In float16 always the latter, since
    `x v` may overflow there.
    """

    def call(self, inputs, *, scale=None):
        ((kernel, gain),) = self.kernels_and_gains()
        if scale is not None:
            scale = ops.convert_to_tensor(scale)
            if tuple(scale.shape) != kernel.units_shape:
                raise ValueError(
                    f"Layer '{self.name}': scale has shape {tuple(scale.shape)}. Allowed: {kernel.units_shape}, a number per unit."
                )
        if not self._output_is_smaller(inputs.shape):
            return self.call_with(inputs, [gains.effective(kernel, gain, scale)])
        outputs = self._linear(inputs)
        # Last, for PyTorch: of v's two gradients the later operation's comes first, and the sum takes its order in memory. A
        # convolution's has another than v, whose sum takes three times as long.
        scale = self._along_units(gains.scale(kernel, gain, scale))
        # In the scale's own dtype: rounded to bfloat16, its error would be the same for all weights of a unit.
        outputs = ops.cast(ops.cast(outputs, scale.dtype) * scale, self.compute_dtype)
        if self.use_bias:
            outputs = ops.add(outputs, self._along_units(self.bias))
        return outputs if self.activation is None else self.activation(outputs)

    def _output_is_smaller(self, input_shape):
        if self.compute_dtype == "float16" or not self._is_linear_in_kernel():
            return False
        batch, *others = self.compute_output_shape(tuple(input_shape))
        # An unknown size is None, or one of JAX's symbols, which compares with nothing.
        if not all(isinstance(n, int) for n in others):
            return False
        return math.prod([batch if isinstance(batch, int) else _USUAL_BATCH, *others]) < math.prod(self.kernel.shape)

    def _is_linear_in_kernel(self):
        """Whether `_linear` is all that Keras' own layer does: not for causal padding, nor with a user's own `convolution_op`."""
        convolution = getattr(type(self), "convolution_op", None)
        return convolution is None or (convolution.__module__.startswith("keras.") and self.padding != "causal")

    def _linear(self, inputs):
        convolution = getattr(self, "convolution_op", None)
        return ops.matmul(inputs, self.kernel) if convolution is None else convolution(inputs, self.kernel)

    def _along_units(self, values):
        if getattr(self, "data_format", None) == "channels_first":
            return ops.reshape(values, (-1,) + (1,) * self.rank)
        return values
