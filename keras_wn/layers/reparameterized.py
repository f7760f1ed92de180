"""Defines the mixins that make a Keras layer class weight-normalized.

`Reparameterized` replaces the kernel by the effective weight. `OutputScaled` does the same for
dense and convolution layers, and scales their outputs instead where that is less work.
"""

import dataclasses
import math
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import keras
from keras import initializers, ops

from keras_wn.layers import gains, projection, substitution
from keras_wn.layers.gains import Gain
from keras_wn.layers.kernels import Kernel, kernels_of, load_by_name, one_or_all, save_by_name
from keras_wn.reparameterizations.weight_norm import Tensor

# The batch size that is assumed where it is unknown.
_ASSUMED_BATCH_SIZE = 32


class Reparameterized:
    """Mixin, placed before a Keras layer class, that computes with `w = g v / ||v||`.

    The kernel variable that the Keras layer creates holds v, and its `call` reads w. The norm is
    taken per output unit. The layer's own regularizers and constraints act on v; they act on w
    if they are wrapped in `keras_wn.regularizers.EffectiveKernelRegularizer` or
    `keras_wn.constraints.EffectiveKernelConstraint`.

    Args:
        use_gain, gain_initializer, trainable_gain, log_gain, center: As in `WNConv2D`.
        *args, **kwargs: Arguments of the Keras layer class.

    Attributes:
        v: Variable, the stored direction.
        g: Variable with one number per output unit, the gain. It holds log g with `log_gain=True`
            and is `None` with `use_gain=False`.
        effective_kernel: Tensor, w in the dtype of v.

    In a layer with two kernels, each of the three is a dict from the name of the kernel.
    """

    def __init__(
        self,
        *args,
        use_gain: bool = True,
        gain_initializer: Any = None,
        trainable_gain: bool | Mapping[str, bool] = True,
        log_gain: bool = False,
        center: bool = False,
        **kwargs,
    ):
        for name in ("lora_rank", "quantization_config"):
            if kwargs.get(name) is not None:
                raise ValueError(
                    f"{type(self).__name__} does not support {name}. "
                    f"Received: {name}={kwargs[name]!r}. Allowed: None."
                )
        gains.check_options(type(self).__name__, use_gain, log_gain, trainable_gain, center)
        super().__init__(*args, **kwargs)
        if self.quantization_mode is not None:
            raise ValueError(
                f"{type(self).__name__} cannot be quantized. "
                f"Received: dtype={self.dtype_policy.name!r}. Allowed: a floating-point policy."
            )
        self.use_gain = use_gain
        self.gain_initializer = initializers.get(gain_initializer)
        self.trainable_gain = trainable_gain
        self.log_gain = log_gain
        self.center = center
        self._gains = {}

    def build(self, input_shape: tuple | None = None) -> None:
        super().build(input_shape)
        if self.use_gain:
            kernels = {kernel.name: kernel for kernel in self._kernels()}
            self._gains = gains.add(
                self, kernels, self.gain_initializer, self.log_gain, self.trainable_gain
            )
        for kernel, gain in self.kernels_and_gains():
            projection.let_act_on_w(kernel, gain)

    @property
    def v(self) -> keras.Variable | dict[str, keras.Variable]:
        return one_or_all({kernel.name: kernel.variable for kernel in kernels_of(self)})

    @property
    def g(self) -> keras.Variable | dict[str, keras.Variable] | None:
        if not self._gains:
            return None
        return one_or_all({name: gain.variable for name, gain in self._gains.items()})

    @property
    def effective_kernel(self) -> Tensor | dict[str, Tensor]:
        return one_or_all(
            {
                kernel.name: gains.effective(kernel, gain)
                for kernel, gain in self.kernels_and_gains()
            }
        )

    def kernels_and_gains(self) -> list[tuple[Kernel, Gain | None]]:
        """Returns the layer's kernels, each with its gain, which is `None` in the strict form."""
        return [(kernel, self._gains.get(kernel.name)) for kernel in self._kernels()]

    def _kernels(self):
        return [dataclasses.replace(kernel, center=self.center) for kernel in kernels_of(self)]

    def call(self, inputs: Tensor) -> Tensor:
        effective = [gains.effective(kernel, gain) for kernel, gain in self.kernels_and_gains()]
        return self.call_with(inputs, effective)

    def call_with(self, inputs: Tensor, effective_kernels: Sequence[Tensor]) -> Tensor:
        """Runs the `call` of the Keras layer with these tensors in place of its kernels."""
        variables = [kernel.variable for kernel in kernels_of(self)]
        substitutes = {id(v): w for v, w in zip(variables, effective_kernels, strict=True)}
        return substitution.call_substituted(self, super().call, substitutes, inputs)

    def rematerialized_call(self, layer_call, *args, **kwargs):
        return substitution.rematerialized(
            self, super().rematerialized_call, layer_call, *args, **kwargs
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("quantization_config", None)
        return {
            **config,
            "use_gain": self.use_gain,
            "gain_initializer": initializers.serialize(self.gain_initializer),
            "trainable_gain": gains.trainable_option(self, self._gains, self.trainable_gain),
            "log_gain": self.log_gain,
            "center": self.center,
        }

    def save_own_variables(self, store: MutableMapping) -> None:
        # Save v and g. The Keras classes would save the effective kernel, and no gain.
        save_by_name(self, store)

    def load_own_variables(self, store: Mapping) -> None:
        load_by_name(self, store)

    def quantize(self, mode=None, **kwargs):
        raise NotImplementedError(
            f"{type(self).__name__} cannot be quantized (mode={mode!r}): only a plain Keras layer "
            "can."
        )

    def enable_lora(self, rank, **kwargs):
        raise NotImplementedError(
            f"{type(self).__name__} does not support LoRA (rank={rank!r}): only a plain Keras "
            "layer does."
        )


class OutputScaled(Reparameterized):
    """Mixin, placed before Keras' dense or convolution layer, that may scale outputs.

    `y = (x v) (g / ||v||)` is computed if the output has fewer numbers than the kernel, as in dense
    layers and in the last stages of a convolutional network. Otherwise `y = x (v g / ||v||)`, as in
    `Reparameterized`. Both are equal up to rounding. In float16, only the second form is used,
    because `x v` may overflow, or if v is centered, because the centered v is computed anyway.

    `layer(x, scale=c)` multiplies w by a tensor c with one number per unit: a gain that another
    layer computes, such as `JoinWeights`.
    """

    def call(self, inputs: Tensor, *, scale: Tensor | None = None) -> Tensor:
        ((kernel, gain),) = self.kernels_and_gains()
        if scale is not None:
            scale = ops.convert_to_tensor(scale)
            if tuple(scale.shape) != kernel.units_shape:
                raise ValueError(
                    f"Layer '{self.name}': scale has shape {tuple(scale.shape)}. "
                    f"Allowed: {kernel.units_shape}, a number per unit."
                )
        if not self._output_is_smaller(inputs.shape):
            return self.call_with(inputs, [gains.effective(kernel, gain, scale)])
        outputs = self._linear(inputs, self.kernel)
        # Compute the scale after the convolution. PyTorch then adds the two gradients of v in v's
        # own memory layout, which is three times faster.
        scale = self._along_units(gains.scale(kernel, gain, scale))
        # Multiply in the dtype of the scale. A scale rounded to bfloat16 would give all weights of
        # a unit the same error.
        outputs = ops.cast(ops.cast(outputs, scale.dtype) * scale, self.compute_dtype)
        if self.use_bias:
            outputs = ops.add(outputs, self._along_units(self.bias))
        return outputs if self.activation is None else self.activation(outputs)

    def _output_is_smaller(self, input_shape):
        if self.center or self.compute_dtype == "float16" or not self._is_linear_in_kernel():
            return False
        batch_size, *other_sizes = self.compute_output_shape(tuple(input_shape))
        # An unknown size is `None` or, on JAX, a symbol that cannot be compared with a number.
        if not all(isinstance(n, int) for n in other_sizes):
            return False
        if not isinstance(batch_size, int):
            batch_size = _ASSUMED_BATCH_SIZE
        return math.prod([batch_size, *other_sizes]) < math.prod(self.kernel.shape)

    def _is_linear_in_kernel(self):
        """Whether Keras' own layer does nothing else with the kernel than `_linear` does.

        It does more with causal padding, or if a subclass overrides `convolution_op`.
        """
        convolution = getattr(type(self), "convolution_op", None)
        if convolution is None:
            return True
        return convolution.__module__.startswith("keras.") and self.padding != "causal"

    def _linear(self, inputs, kernel):
        convolution = getattr(self, "convolution_op", None)
        return ops.matmul(inputs, kernel) if convolution is None else convolution(inputs, kernel)

    def _along_units(self, values):
        if getattr(self, "data_format", None) == "channels_first":
            return ops.reshape(values, (-1,) + (1,) * self.rank)
        return values
