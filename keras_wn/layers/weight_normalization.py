"""Defines the wrapper that adds weight normalization to any Keras layer."""

import dataclasses
import functools
import inspect
import warnings
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import keras
from keras import initializers

from keras_wn.layers import gains, projection, substitution, wrapped
from keras_wn.layers.gains import Gain
from keras_wn.layers.kernels import Kernel, kernels_of, load_by_name, one_or_all, save_by_name
from keras_wn.reparameterizations.weight_norm import Tensor


@keras.saving.register_keras_serializable(package="keras_wn")
class WeightNormalization(keras.layers.Wrapper):
    """Wrapper that adds weight normalization to any layer.

    `w = g v / ||v||`, with one norm and one gain per output unit. The kernels of the layer and of
    its sublayers hold v, and the layer's own `call` reads w. This works for dense and convolution
    layers, recurrent layers and their cells, `Bidirectional`, `TimeDistributed`, attention, and
    whole models. For a layer class of your own, name the weights and the axes of their norm.

    If the layer is already built, its outputs do not change: g starts at `||v||`. The layer's
    regularizers and constraints act on v; they act on w if they are wrapped in
    `keras_wn.regularizers.EffectiveKernelRegularizer` or
    `keras_wn.constraints.EffectiveKernelConstraint`.

    A layer that masks its kernel in its `call`, as those of MADE and PixelCNN, needs the mask in
    its kernel as well, because the norm is that of the whole kernel: give it a `kernel_constraint`
    that multiplies by the mask, and a kernel that is masked at the start.

    Args:
        layer: Keras layer, built or not.
        axis: Integer or tuple, the axes that the norm is taken over, for every kernel. `None`
            stands for all axes but those of the output units, which are known for Keras' own
            layers only.
        use_gain: Boolean, whether there is a gain g. If `False`, `w = v / ||v||`, the strict form.
        weights: List of the names of the weights to normalize, for example
            `["recurrent_kernel"]`. Each is the name of a variable, or of the attribute that holds
            it, or a path `"layer/kernel"` where several layers inside have one of that name. `None`
            stands for all kernels of Keras' own layers.
        data_init: Boolean, the argument of TensorFlow Addons. If `True`, a warning says to call
            `keras_wn.data_dependent_init` instead.
        log_gain: Boolean, whether log g is trained instead of g. Then `g = exp(s)`.
        gain_initializer: Initializer of g. `None` stands for `||v||`.
        trainable_gain: Boolean, whether g is trained; or a dict from the names of kernels to
            booleans. If `False`, g keeps its initial value.
        gain_axis: Integer or tuple, the axes along which g is constant. `None` stands for the axes
            of the norm. With other axes, g starts at the root mean square of the norms of the
            units that share it. This keeps w only if these norms are equal.
        center: Boolean, whether v is replaced by `v - mean(v)`, with the mean over the axes of the
            norm, so that the entries of each filter of w sum to 0. The outputs of a built layer do
            change then.
        **kwargs: Arguments of `keras.layers.Wrapper`. The default of `name` is the name that was
            given to the layer.

    Input shape:
        The same as the layer's.

    Output shape:
        The same as the layer's.

    Attributes:
        kernels: Dict from a name that is unique in the layer to a kernel, whose `variable` is v.
        gains: Dict from the same names to the variables of the gains, which hold g or log g.
        effective_kernels: Dict from the same names to w.
        v, g, effective_kernel: The variables v and g and the tensor w of a layer with one kernel.
            For a layer with several kernels, dicts of them.

    Raises:
        ValueError: If `layer` is not a layer instance or has no kernels, if `weights` contains an
            unknown name, if `axis` lies outside of a kernel, or if `axis` is missing for a weight
            whose output units are not known.

    Example:

    >>> import numpy as np
    >>> layer = WeightNormalization(keras.layers.LSTM(3), weights=["recurrent_kernel"])
    >>> tuple(layer(np.ones((2, 5, 4))).shape), list(layer.gains)
    ((2, 3), ['recurrent_kernel'])

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2. Each gate of a recurrent kernel has
    units of its own. Unlike the wrapper of TensorFlow Addons, this one assigns no variable when it
    is called, and it takes the norm of a transposed convolution per output channel.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        axis: int | Sequence[int] | None = None,
        use_gain: bool = True,
        weights: Sequence[str] | None = None,
        data_init: bool = False,
        log_gain: bool = False,
        gain_initializer: Any = None,
        trainable_gain: bool | Mapping[str, bool] = True,
        gain_axis: int | Sequence[int] | None = None,
        center: bool = False,
        **kwargs,
    ):
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(
                f"WeightNormalization: layer={layer!r} is not allowed. "
                "Allowed: an instance of a Keras layer."
            )
        if isinstance(axis, bool):
            # In TensorFlow Addons, the second positional argument is `data_init`.
            axis, data_init = None, axis
        if "go_backwards" in kwargs:
            raise ValueError(
                f"WeightNormalization: keras.layers.Bidirectional around "
                f"WeightNormalization('{layer.name}') is not allowed. Allowed: wrap the "
                "Bidirectional, WeightNormalization(Bidirectional(...))."
            )
        gains.check_options("WeightNormalization", use_gain, log_gain, trainable_gain, center)
        kwargs.setdefault("trainable", layer.trainable)
        if kwargs.get("name") is None:
            kwargs["name"] = wrapped.given_name(layer)
        super().__init__(layer, **kwargs)
        # The layer casts its inputs itself, by its own policy. An embedding, for example, does not
        # cast token numbers at all.
        self.autocast = False
        self.axis = wrapped.checked_axis("axis", axis)
        self.gain_axis = wrapped.checked_axis("gain_axis", gain_axis)
        self.use_gain = use_gain
        self.gain_initializer = initializers.get(gain_initializer)
        self.trainable_gain = trainable_gain
        self.weight_names = wrapped.checked_names(weights)
        self.supports_masking = layer.supports_masking
        self.log_gain = log_gain
        self.center = center
        self._gains = {}
        for dropout in ("dropout", "recurrent_dropout"):
            if hasattr(layer, "get_dropout_mask") and getattr(layer, dropout, 0):
                raise ValueError(
                    f"WeightNormalization: cell '{layer.name}' has "
                    f"{dropout}={getattr(layer, dropout)}, whose mask only a recurrent layer "
                    "holds. Allowed: WeightNormalization around that layer, "
                    "keras.layers.RNN(cell) for example."
                )
        if data_init:
            warnings.warn(
                "WeightNormalization: data_init=True does nothing by itself. Call "
                "keras_wn.data_dependent_init(model, batch) once, before fit.",
                stacklevel=2,
            )

    def __call__(self, *args, **kwargs):
        if not args:
            # Take the first argument by the name that the layer has for it, for example `query`.
            first = next(iter(inspect.signature(self.layer.call).parameters))
            args = (kwargs.pop(first),) if first in kwargs else ()
        if not self.layer.built:
            # Keras matches the shapes of several inputs to the arguments of `build` by the argument
            # names of `call`, which are not those of this wrapper's `call`.
            shapes = wrapped.shapes_to_build(self.layer, *args, **kwargs)
            if len(shapes) > 1:
                self.layer.build(**shapes)
        return super().__call__(*args, **kwargs)

    def build(self, input_shape: Any = None) -> None:
        if not wrapped.is_built(self.layer):
            wrapped.build_by_call(self.layer, input_shape)
        super().build(input_shape)
        if self.use_gain:
            self._gains = gains.add(
                self, self.kernels, self.gain_initializer, self.log_gain, self.trainable_gain
            )
        for kernel, gain in self.kernels_and_gains():
            projection.let_act_on_w(kernel, gain)
        for sublayer in self._layers_with_kernels():
            # `model.quantize` calls this method of each layer without sublayers, and warns about
            # the layers that it cannot quantize.
            sublayer.quantize = functools.partial(_refuse_to_quantize, sublayer.name)

    @property
    def kernels(self) -> dict[str, Kernel]:
        kernels = wrapped.named_kernels(self.layer, self.weight_names, self.axis, self.gain_axis)
        return {
            name: dataclasses.replace(kernel, center=self.center)
            for name, kernel in kernels.items()
        }

    @property
    def v(self) -> keras.Variable | dict[str, keras.Variable]:
        return one_or_all({name: kernel.variable for name, kernel in self.kernels.items()})

    @property
    def g(self) -> keras.Variable | dict[str, keras.Variable] | None:
        return one_or_all(self.gains) if self._gains else None

    @property
    def effective_kernel(self) -> Tensor | dict[str, Tensor]:
        return one_or_all(self.effective_kernels)

    @property
    def gains(self) -> dict[str, keras.Variable]:
        return {name: gain.variable for name, gain in self._gains.items()}

    @property
    def effective_kernels(self) -> dict[str, Tensor]:
        return {
            name: gains.effective(kernel, self._gains.get(name))
            for name, kernel in self.kernels.items()
        }

    def kernels_and_gains(self) -> list[tuple[Kernel, Gain | None]]:
        """Returns the normalized kernels and their gains, which are `None` in the strict form."""
        return [(kernel, self._gains.get(name)) for name, kernel in self.kernels.items()]

    def call(self, inputs, *args, training=None, **kwargs):
        del training  # The layer reads it from Keras' call context.
        # The layers that read the kernels cast them by their own policies.
        with substitution.full_precision():
            substitutes = {
                id(kernel.variable): gains.effective(kernel, gain)
                for kernel, gain in self.kernels_and_gains()
            }
        return substitution.call_substituted(self, self.layer, substitutes, inputs, *args, **kwargs)

    def compute_output_spec(self, inputs, *args, training=None, **kwargs):
        del training  # As in `call`.
        return self.layer.compute_output_spec(inputs, *args, **kwargs)

    def compute_output_shape(self, *shapes, **named_shapes):
        return self.layer.compute_output_shape(*shapes, **named_shapes)

    def remove(self) -> keras.layers.Layer:
        """Removes the normalization and stores w in the kernels.

        Returns:
            The wrapped layer, which can be used by itself. The outputs of this wrapper stay the
            same.
        """
        for kernel, gain in self.kernels_and_gains():
            kernel.variable.assign(gains.effective(kernel, gain))
            if gain is not None:
                gain.variable.assign(gain.held(gains.norm_of(kernel)))
            projection.let_act_on_v(kernel, gain)
        for sublayer in self._layers_with_kernels():
            vars(sublayer).pop("quantize", None)
        return self.layer

    def rematerialized_call(self, layer_call, *args, **kwargs):
        return substitution.rematerialized(
            self, super().rematerialized_call, layer_call, *args, **kwargs
        )

    def quantize(self, mode=None, **kwargs):
        _refuse_to_quantize(self.name, mode)

    def _layers_with_kernels(self):
        return [sublayer for sublayer in self.layer._flatten_layers() if kernels_of(sublayer)]

    # `keras.layers.RNN` needs these attributes of a cell. If the wrapped layer is not a cell, they
    # raise an AttributeError.

    @property
    def state_size(self):
        return self.layer.state_size

    @property
    def output_size(self):
        return self.layer.output_size

    def get_initial_state(self, *args, **kwargs):
        return self.layer.get_initial_state(*args, **kwargs)

    # The methods of a stateful recurrent layer. Other layers raise an AttributeError.

    @property
    def reset_state(self):
        return self.layer.reset_state

    @property
    def reset_states(self):
        return self.layer.reset_states

    def compute_mask(self, inputs, mask=None):
        return self.layer.compute_mask(inputs, mask)

    def get_build_config(self) -> dict[str, Any]:
        return {**(super().get_build_config() or {}), "layer": self.layer.get_build_config()}

    def build_from_config(self, config: dict[str, Any]) -> None:
        if not wrapped.is_built(self.layer):
            wrapped.build_from_config(self.layer, config["layer"])
        super().build_from_config(config)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "use_gain": self.use_gain,
            "weights": self.weight_names,
            "log_gain": self.log_gain,
            "gain_initializer": initializers.serialize(self.gain_initializer),
            "trainable_gain": gains.trainable_option(self, self._gains, self.trainable_gain),
            "gain_axis": self.gain_axis,
            "center": self.center,
        }

    def save_own_variables(self, store: MutableMapping) -> None:
        save_by_name(self, store)

    def load_own_variables(self, store: Mapping) -> None:
        load_by_name(self, store)


def _refuse_to_quantize(name, mode=None, **kwargs):
    raise NotImplementedError(
        f"Layer '{name}' is weight-normalized and cannot be quantized (mode={mode!r}): only a "
        "plain Keras layer can, as keras_wn.fold(model) makes it."
    )
