"""Weight normalization around any layer."""

import inspect
import warnings

import keras
from keras.src import backend  # Not exported by Keras, nor is the next.
from keras.src.utils.python_utils import is_default

from keras_wn.layers import acting_on_w, gains, named_variables, substitution, wrapped


@keras.saving.register_keras_serializable(package="keras_wn")
class WeightNormalization(keras.layers.Wrapper):
    """Wrapper that normalizes the kernels of any layer: `w = g v / ||v||`, one norm and one gain per output unit.

    The kernels that the layer has, its sublayers' among them, hold v; the layer's own call sees w. That covers recurrent
    layers and their cells, `Bidirectional`, `TimeDistributed`, attention, and whole models. A layer that is already built is
    taken as it is: g starts at `||v||`, so that outputs do not change. The layer's regularizers and constraints act on v; on w through
    `keras_wn.regularizers.EffectiveKernelRegularizer` and `keras_wn.constraints.EffectiveKernelConstraint`.

    Args:
        layer: Keras layer, built or not.
        axis: Integer or tuple, axes that the norm runs over, for every kernel. None: all but those of the output units.
        use_gain: Boolean, whether g is trained. False: `w = v / ||v||`, the strict form.
        weights: List of kernel names to normalize, for example `["recurrent_kernel"]`. None: all.
        data_init: As in TensorFlow Addons, for its users: True warns to call `keras_wn.data_dependent_init`.
        log_gain: Boolean, whether log g is trained in place of g: `g = exp(s)`.
        **kwargs: As `keras.layers.Wrapper`.

    Input shape:
        As the layer's.

    Output shape:
        As the layer's.

    Attributes:
        kernels: Dict from a name, unique in the layer, to a kernel, of which `variable` is v.
        gains: Dict from the same names to the variables of the gains: g, or log g.
        effective_kernels: Dict from the same names to w.

    Raises:
        ValueError: If `layer` is no layer instance or has no kernels, if `weights` names one that is not there, or if `axis`
            lies outside a kernel.

    Example:

    >>> import numpy as np
    >>> layer = WeightNormalization(keras.layers.LSTM(3), weights=["recurrent_kernel"])
    >>> tuple(layer(np.ones((2, 5, 4))).shape), list(layer.gains)
    ((2, 3), ['recurrent_kernel'])

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2. The gates of a recurrent kernel are units of their own. Unlike
    TensorFlow Addons', this wrapper assigns nothing when called, and takes a transposed convolution's norm per output channel.
    """

    def __init__(self, layer, axis=None, use_gain=True, weights=None, data_init=False, log_gain=False, **kwargs):
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(
                f"WeightNormalization: layer={layer!r} is not allowed. Allowed: an instance of a Keras layer."
            )
        if isinstance(axis, bool):
            # TensorFlow Addons has `data_init` in the second place.
            axis, data_init = None, axis
        gains.check_options("WeightNormalization", use_gain, log_gain)
        kwargs.setdefault("trainable", layer.trainable)
        super().__init__(layer, **kwargs)
        # The layer casts its inputs itself, by its own policy: token numbers, for example, not at all.
        self.autocast = False
        self.axis = wrapped.checked_axis(axis)
        self.use_gain = use_gain
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
        if not self.layer.built and is_default(self.layer.build):
            # A layer that makes its sublayers' weights when it is called.
            inputs = keras.tree.map_shape_structure(lambda shape: keras.KerasTensor(shape), input_shape)
            backend.compute_output_spec(self.layer.call, inputs)
        super().build(input_shape)
        if self.use_gain:
            self._gains = gains.add(self, self.kernels, initializer=None, log=self.log_gain)
        for kernel, gain in self.kernels_and_gains():
            acting_on_w.bind(kernel, gain)

    @property
    def kernels(self):
        every = wrapped.named_kernels(self.layer)
        names = sorted({kernel.name for kernel in every.values()})
        if not names:
            raise ValueError(f"WeightNormalization: layer '{self.layer.name}' has no kernels to normalize.")
        missing = [name for name in self.weight_names or () if name not in names]
        if missing:
            raise ValueError(
                f"WeightNormalization: layer '{self.layer.name}' has no weights {missing}. Allowed: {', '.join(names)}."
            )
        wanted = names if self.weight_names is None else self.weight_names
        return {
            name: wrapped.with_axis(kernel, self.axis, self.layer.name)
            for name, kernel in every.items()
            if kernel.name in wanted
        }

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
        return self.layer

    # What `keras.layers.RNN` asks of a cell; an AttributeError where the layer is none.

    @property
    def state_size(self):
        return self.layer.state_size

    @property
    def output_size(self):
        return self.layer.output_size

    def get_initial_state(self, *args, **kwargs):
        return self.layer.get_initial_state(*args, **kwargs)

    def compute_mask(self, inputs, mask=None):
        return self.layer.compute_mask(inputs, mask)

    def get_build_config(self):
        return {**(super().get_build_config() or {}), "layer": self.layer.get_build_config()}

    def build_from_config(self, config):
        if not self.layer.built:
            self.layer.build_from_config(config["layer"])
        super().build_from_config(config)

    def get_config(self):
        return {
            **super().get_config(),
            "axis": self.axis,
            "use_gain": self.use_gain,
            "weights": self.weight_names,
            "log_gain": self.log_gain,
        }

    def save_own_variables(self, store):
        named_variables.save_by_name(self, store)

    def load_own_variables(self, store):
        named_variables.load_by_name(self, store)
