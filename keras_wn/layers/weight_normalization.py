"""Weight normalization around any layer."""

import functools
import inspect
import warnings

import keras
from keras import initializers

from keras_wn.layers import acting_on_w, gains, named_variables, substitution, wrapped
from keras_wn.layers.kernels import kernels_of


@keras.saving.register_keras_serializable(package="keras_wn")
class WeightNormalization(keras.layers.Wrapper):
    """Wrapper that normalizes the kernels of any layer: `w = g v / ||v||`, one norm and one gain per output unit.

    The kernels that the layer has, its sublayers' among them, hold v; the layer's own call sees w. That covers recurrent
    layers and their cells, `Bidirectional`, `TimeDistributed`, attention, and whole models. Of a layer of your own, name the weights
    and the axes of their norm. A layer that is already built is taken as it is: g starts at `||v||`, so that outputs do not change.
    The layer's regularizers and constraints act on v; on w through `keras_wn.regularizers.EffectiveKernelRegularizer` and
    `keras_wn.constraints.EffectiveKernelConstraint`.

    Args:
        layer: Keras layer, built or not.
        axis: Integer or tuple, axes that the norm runs over, for every kernel. None: all but those of the output units, which are
            known of Keras' layers alone.
        use_gain: Boolean, whether there is a gain g. False: `w = v / ||v||`, the strict form.
        weights: List of the names of the weights to normalize, for example `["recurrent_kernel"]`: each the name of a variable, or of
            the attribute that holds it. None: all kernels of Keras' layers.
        data_init: As in TensorFlow Addons, for its users: True warns to call `keras_wn.data_dependent_init`.
        log_gain: Boolean, whether log g is trained in place of g: `g = exp(s)`.
        gain_initializer: Initializer of g. None: `||v||`.
        trainable_gain: Boolean, whether g is trained; or a dict from the names of kernels to it. False: it stays where it starts.
        gain_axis: Integer or tuple, axes along which g is constant. None: as `axis`. With other axes than the norm, g starts at the
            root mean square of the norms that it stands for, which keeps w only if these are equal.
        **kwargs: As `keras.layers.Wrapper`. `name` is the name that was given to the layer, if it is not given here.

    Input shape:
        As the layer's.

    Output shape:
        As the layer's.

    Attributes:
        kernels: Dict from a name, unique in the layer, to a kernel, of which `variable` is v.
        gains: Dict from the same names to the variables of the gains: g, or log g.
        effective_kernels: Dict from the same names to w.
        v, g, effective_kernel: The same of a layer with one kernel: variable, variable and tensor. Else these dicts.

    Raises:
        ValueError: If `layer` is no layer instance or has no kernels, if `weights` names one that is not there, if `axis` lies outside a
            kernel, or if it is missing for a weight whose output units are not known.

    Example:

    >>> import numpy as np
    >>> layer = WeightNormalization(keras.layers.LSTM(3), weights=["recurrent_kernel"])
    >>> tuple(layer(np.ones((2, 5, 4))).shape), list(layer.gains)
    ((2, 3), ['recurrent_kernel'])

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2. The gates of a recurrent kernel are units of their own. Unlike
    TensorFlow Addons', this wrapper assigns nothing when called, and takes a transposed convolution's norm per output channel.
    """

    def __init__(
        self,
        layer,
        axis=None,
        use_gain=True,
        weights=None,
        data_init=False,
        log_gain=False,
        gain_initializer=None,
        trainable_gain=True,
        gain_axis=None,
        **kwargs,
    ):
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(
                f"WeightNormalization: layer={layer!r} is not allowed. Allowed: an instance of a Keras layer."
            )
        if isinstance(axis, bool):
            # TensorFlow Addons has `data_init` in the second place.
            axis, data_init = None, axis
        if "go_backwards" in kwargs:
            raise ValueError(
                f"WeightNormalization: keras.layers.Bidirectional around WeightNormalization('{layer.name}') is not allowed. Allowed: "
                "wrap the Bidirectional, WeightNormalization(Bidirectional(...))."
            )
        gains.check_options("WeightNormalization", use_gain, log_gain, trainable_gain)
        kwargs.setdefault("trainable", layer.trainable)
        if kwargs.get("name") is None:
            kwargs["name"] = wrapped.given_name(layer)
        super().__init__(layer, **kwargs)
        # The layer casts its inputs itself, by its own policy: token numbers, for example, not at all.
        self.autocast = False
        self.axis = wrapped.checked_axis("axis", axis)
        self.gain_axis = wrapped.checked_axis("gain_axis", gain_axis)
        self.use_gain = use_gain
        self.gain_initializer = initializers.get(gain_initializer)
        self.trainable_gain = trainable_gain
        self.weight_names = wrapped.checked_names(weights)
        self.supports_masking = layer.supports_masking
        self.log_gain = log_gain
        self._gains = {}
        for dropout in ("dropout", "recurrent_dropout"):
            if hasattr(layer, "get_dropout_mask") and getattr(layer, dropout, 0):
                raise ValueError(
                    f"WeightNormalization: cell '{layer.name}' has {dropout}={getattr(layer, dropout)}, whose mask only a recurrent "
                    "layer holds. Allowed: WeightNormalization around that layer, keras.layers.RNN(cell) for example."
                )
        if data_init:
            warnings.warn(
                "WeightNormalization: data_init=True does nothing by itself. Call keras_wn.data_dependent_init(model, batch) "
                "once, before fit.",
                stacklevel=2,
            )

    def __call__(self, *args, **kwargs):
        if not args:
            # As the layer may name its first argument, `query` for example.
            first = next(iter(inspect.signature(self.layer.call).parameters))
            args = (kwargs.pop(first),) if first in kwargs else ()
        if not self.layer.built:
            # Keras finds the shapes of a layer's inputs by the names in its own call, which this wrapper does not have.
            shapes = wrapped.shapes_to_build(self.layer, *args, **kwargs)
            if len(shapes) > 1:
                self.layer.build(**shapes)
        return super().__call__(*args, **kwargs)

    def build(self, input_shape=None):
        if not wrapped.is_built(self.layer):
            wrapped.build_by_call(self.layer, input_shape)
        super().build(input_shape)
        if self.use_gain:
            self._gains = gains.add(self, self.kernels, self.gain_initializer, self.log_gain, self.trainable_gain)
        for kernel, gain in self.kernels_and_gains():
            acting_on_w.bind(kernel, gain)
        for sublayer in self._layers_with_kernels():
            # `model.quantize` asks each layer that has no sublayers; what it leaves as it is, it warns of.
            sublayer.quantize = functools.partial(_refuse_to_quantize, sublayer.name)

    @property
    def kernels(self):
        return wrapped.named_kernels(self.layer, self.weight_names, self.axis, self.gain_axis)

    @property
    def v(self):
        return wrapped.one_or_all({name: kernel.variable for name, kernel in self.kernels.items()})

    @property
    def g(self):
        return wrapped.one_or_all(self.gains) if self._gains else None

    @property
    def effective_kernel(self):
        return wrapped.one_or_all(self.effective_kernels)

    @property
    def gains(self):
        return {name: gain.variable for name, gain in self._gains.items()}

    @property
    def effective_kernels(self):
        return {name: gains.effective(kernel, self._gains.get(name)) for name, kernel in self.kernels.items()}

    def kernels_and_gains(self):
        """The normalized kernels, each with its gain; None for it in the strict form."""
        return [(kernel, self._gains.get(name)) for name, kernel in self.kernels.items()]

    def call(self, inputs, *args, training=None, **kwargs):
        del training  # The layer takes it from the call context.
        substitutes = {id(kernel.variable): gains.effective(kernel, gain) for kernel, gain in self.kernels_and_gains()}
        return substitution.call_substituted(self, self.layer, substitutes, inputs, *args, **kwargs)

    def compute_output_spec(self, inputs, *args, training=None, **kwargs):
        del training  # As in `call`.
        return self.layer.compute_output_spec(inputs, *args, **kwargs)

    def compute_output_shape(self, *shapes, **named_shapes):
        return self.layer.compute_output_shape(*shapes, **named_shapes)

    def remove(self):
        """Ends the normalization: gives the kernels their weight w.

        Returns:
            The layer that is wrapped, with w in its kernels. This wrapper puts out the same as before.
        """
        for kernel, gain in self.kernels_and_gains():
            kernel.variable.assign(gains.effective(kernel, gain))
            if gain is not None:
                gain.variable.assign(gain.held(gains.norm_of(kernel)))
            acting_on_w.unbind(kernel, gain)
        for sublayer in self._layers_with_kernels():
            vars(sublayer).pop("quantize", None)
        return self.layer

    def rematerialized_call(self, layer_call, *args, **kwargs):
        return substitution.rematerialized(self, super().rematerialized_call, layer_call, *args, **kwargs)

    def quantize(self, mode=None, **kwargs):
        _refuse_to_quantize(self.name, mode)

    def _layers_with_kernels(self):
        return [sublayer for sublayer in self.layer._flatten_layers() if kernels_of(sublayer)]

    # What `keras.layers.RNN` asks of a cell; an AttributeError where the layer is none.

    @property
    def state_size(self):
        return self.layer.state_size

    @property
    def output_size(self):
        return self.layer.output_size

    def get_initial_state(self, *args, **kwargs):
        return self.layer.get_initial_state(*args, **kwargs)

    # The methods of a stateful recurrent layer; an AttributeError where the layer is none.

    @property
    def reset_state(self):
        return self.layer.reset_state

    @property
    def reset_states(self):
        return self.layer.reset_states

    def compute_mask(self, inputs, mask=None):
        return self.layer.compute_mask(inputs, mask)

    def get_build_config(self):
        return {**(super().get_build_config() or {}), "layer": self.layer.get_build_config()}

    def build_from_config(self, config):
        if not wrapped.is_built(self.layer):
            wrapped.build_from_config(self.layer, config["layer"])
        super().build_from_config(config)

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "use_gain": self.use_gain,
            "weights": self.weight_names,
            "log_gain": self.log_gain,
            "gain_initializer": initializers.serialize(self.gain_initializer),
            "trainable_gain": gains.trainable_option(self, self._gains, self.trainable_gain),
            "gain_axis": self.gain_axis,
        }

    def save_own_variables(self, store):
        named_variables.save_by_name(self, store)

    def load_own_variables(self, store):
        named_variables.load_by_name(self, store)


def _refuse_to_quantize(name, mode=None, **kwargs):
    raise NotImplementedError(
        f"Layer '{name}' is weight-normalized and cannot be quantized (mode={mode!r}): only a plain Keras layer can, as "
        "keras_wn.fold(model) makes it."
    )
