"""The gains that a weight-normalized layer adds to kernels, and the weights that come of them."""

import dataclasses

import keras
from keras import ops
from keras.src import backend  # Not exported by Keras: variables with a layout.

from keras_wn import reparameterizations
from keras_wn.layers import substitution

# What a zero filter's gain is taken for where its logarithm is kept.
_LEAST_GAIN = 2.0**-100


@dataclasses.dataclass(frozen=True)
class Gain:
    """g of a kernel.

    Attributes:
        variable: The trained variable: g, or log g.
        log: Boolean, which of the two.
    """

    variable: keras.Variable
    log: bool

    @property
    def value(self):
        """g, a tensor in the variable's own dtype."""
        with substitution.full_precision():
            value = self.variable.value
        return ops.exp(value) if self.log else value

    def assign(self, g):
        """Makes g what is given.

        Raises:
            ValueError: If the variable holds log g and an entry of `g` is not positive.
        """
        if self.log:
            _check_positive(g, self.variable.path)
        self.variable.assign(self.held(g))

    def held(self, g):
        """What the variable holds for a norm g; the logarithm of one below 2^-100 is taken as that of 2^-100."""
        return ops.cast(ops.reshape(_held(g, self.log), self.variable.shape), self.variable.dtype)


def check_options(owner, use_gain, log_gain, trainable_gain):
    """Raises a ValueError if log_gain is set without a gain, or if trainable_gain is neither a boolean nor a dict of them."""
    if log_gain and not use_gain:
        raise ValueError(
            f"{owner}: log_gain={log_gain} with use_gain={use_gain}. Allowed: log_gain=True with use_gain=True."
        )
    named = trainable_gain.values() if isinstance(trainable_gain, dict) else [trainable_gain]
    if not all(isinstance(value, bool) for value in named):
        raise ValueError(
            f"{owner}: trainable_gain={trainable_gain!r} is not allowed. Allowed: True, False, or a dict from the names of "
            "kernels to them."
        )


def add(layer, kernels, initializer, log, trainable=True):
    """Adds a gain to `layer` for each kernel.

    Args:
        layer: Keras layer that is being built.
        kernels: Dict from a name to a `Kernel`.
        initializer: Keras initializer of g; None for the kernel's norm.
        log: Boolean, whether the variable holds log g.
        trainable: Boolean, whether it is trained; or a dict from the kernel's name to it, True where it has no entry.

    Returns:
        Dict from the name to the `Gain`, whose variable is `<name>_g` or `<name>_log_g`, as is the layer's attribute that holds it.

    Raises:
        ValueError: If `trainable` names a kernel that is not there.
    """
    trainable = trainable if isinstance(trainable, dict) else dict.fromkeys(kernels, trainable)
    if unknown := set(trainable) - set(kernels):
        raise ValueError(
            f"Layer '{layer.name}': trainable_gain names the kernels {sorted(unknown)}. Allowed: {', '.join(kernels)}."
        )
    gains = {}
    for name, kernel in kernels.items():
        variable_name = f"{name}_log_g" if log else f"{name}_g"
        start = _Start(kernel, initializer, log)
        variable = _add_variable(layer, kernel, variable_name, start, trainable.get(name, True))
        # TensorFlow finds the variables that are attributes, and no others, when it writes a checkpoint or a SavedModel.
        setattr(layer, variable_name, variable)
        gains[name] = Gain(variable, log)
    return gains


def _add_variable(layer, kernel, name, initializer, trainable):
    """As `layer.add_weight`, which takes no layout: sharded as the kernel is, along the axes that they share.

    The regular expressions of a `keras.distribution.LayoutMap` that find a kernel also find its gain, which has fewer axes.
    """
    layout = getattr(kernel.variable, "_layout", None)
    if isinstance(layout, keras.distribution.TensorLayout):
        axes = [name for axis, name in enumerate(layout.axes) if axis not in kernel.gain_axes]
        layout = keras.distribution.TensorLayout(axes, layout.device_mesh)
    with backend.name_scope(layer.name, caller=layer):
        variable = backend.Variable(
            initializer=initializer,
            shape=kernel.gain_shape,
            dtype=kernel.variable.dtype,
            trainable=trainable,
            name=name,
            layout=layout,
        )
    variable.regularizer, variable.constraint = None, None
    layer._track_variable(variable)
    return variable


def trainable_option(layer, gains, asked):
    """`trainable_gain` of a layer's configuration: as it was asked for, or as `layer.g.trainable` has been set since.

    Args:
        layer: Keras layer.
        gains: Dict from the names of its kernels to the `Gain`s; empty before it is built.
        asked: The layer's argument.
    """
    # In a frozen layer no variable is trainable: it says nothing of the gain by itself.
    if not gains or not layer.trainable:
        return asked
    by_name = {name: gain.variable.trainable for name, gain in gains.items()}
    return by_name if len(set(by_name.values())) > 1 else next(iter(by_name.values()))


class _Start:
    """Initializer of the variable of a gain."""

    def __init__(self, kernel, initializer, log):
        self._kernel, self._initializer, self._log = kernel, initializer, log

    def __call__(self, shape, dtype=None):
        if self._initializer is None:
            g = norm_of(self._kernel)
        else:
            g = self._initializer(shape, dtype=dtype)
            if self._log:
                _check_positive(g, self._kernel.variable.path)
        return ops.cast(_held(g, self._log), dtype)


def _held(g, log):
    if not log:
        return g
    # Not in a half precision, which has no 2^-100.
    g = ops.convert_to_tensor(g)
    g = g if keras.backend.standardize_dtype(g.dtype) == "float64" else ops.cast(g, "float32")
    return ops.log(ops.where(g < _LEAST_GAIN, ops.full_like(g, _LEAST_GAIN), g))


def _check_positive(g, path):
    least = float(ops.convert_to_numpy(ops.min(g)))
    if not least > 0:
        raise ValueError(f"log_gain=True: a gain of '{path}' is {least}. Allowed: positive numbers.")


def norm_of(kernel):
    """The gain that leaves a kernel as it is: ||v||, one number per output unit, in float32 or wider.

    Of a gain that is constant where the norms differ, their root mean square, which keeps the norm of the whole.

    Returns:
        Tensor of `kernel.gain_shape`.
    """
    with substitution.full_precision():
        norm = reparameterizations.norm(kernel.variable.value, kernel.fan_in)
    if kernel.gain_axes != kernel.fan_in:
        norm = ops.broadcast_to(norm, kernel.variable.shape)
        norm = ops.sqrt(ops.mean(ops.square(norm), axis=kernel.gain_axes))
    return ops.reshape(norm, kernel.gain_shape)


def scale(kernel, gain, factor=None):
    """g / ||v|| of a kernel, one number per output unit, in float32 or wider; 1 / ||v|| in the strict form.

    Args:
        kernel: `Kernel`, whose variable is v, with a gain per output unit.
        gain: `Gain`, or None for the strict form.
        factor: Tensor of `kernel.units_shape` that multiplies it; None for 1.

    Returns:
        Tensor of `kernel.units_shape`.
    """
    with substitution.full_precision():
        g = _times(gain, factor)
        return ops.reshape(reparameterizations.scale(kernel.variable.value, g, kernel.fan_in), kernel.units_shape)


def effective(kernel, gain, factor=None):
    """The weight w of a kernel.

    Args:
        kernel: `Kernel`, whose variable is v.
        gain: `Gain`, or None for the strict form.
        factor: Tensor of `kernel.gain_shape` that multiplies it; None for 1.

    Returns:
        Tensor of v's shape and dtype.
    """
    dtype = kernel.variable.dtype
    with substitution.full_precision():
        v, g = kernel.variable.value, _times(gain, factor)
        if g is None or kernel.gain_axes == kernel.fan_in:
            w = reparameterizations.weight_norm(v, g, kernel.fan_in)
        else:
            w = reparameterizations.weight_norm(v, None, kernel.fan_in)
            w = w * ops.expand_dims(ops.cast(g, w.dtype), kernel.gain_axes)
    return ops.cast(w, dtype)


def _times(gain, factor):
    """g times a factor, either of which may be None for 1."""
    g = None if gain is None else gain.value
    if g is None or factor is None:
        return factor if g is None else g
    return g * ops.cast(factor, g.dtype)
