"""Adds gains to kernels, and computes the effective weights from both."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping

import keras
from keras import ops
from keras.src import backend  # Not exported by Keras: variables with a layout, global state.
from keras.src.backend.common.global_state import get_global_attribute

from keras_wn import reparameterizations
from keras_wn.layers import substitution
from keras_wn.layers.kernels import Kernel
from keras_wn.reparameterizations.weight_norm import Tensor

# The smallest gain whose logarithm is kept. The gain of a zero filter is replaced by it.
_LEAST_GAIN = 2.0**-100
# The global attribute of Keras that is set in a scope of `not_computed`.
_NOT_COMPUTED = "keras_wn_gains_not_computed"


@dataclasses.dataclass(frozen=True)
class Gain:
    """The gain g of a kernel.

    Attributes:
        variable: The variable that is trained: g or, with `log`, the logarithm of g.
        log: Boolean, whether the variable holds log g.
    """

    variable: keras.Variable
    log: bool

    @property
    def value(self) -> Tensor:
        """g, as a tensor in the dtype of the variable."""
        with substitution.full_precision():
            value = self.variable.value
        return ops.exp(value) if self.log else value

    def assign(self, g: Tensor) -> None:
        """Sets g.

        Raises:
            ValueError: If the variable holds log g and an entry of `g` is not positive.
        """
        if self.log:
            _check_positive(g, self.variable.path)
        with substitution.full_precision():
            self.variable.assign(self.held(g))

    def held(self, g: Tensor) -> Tensor:
        """Returns the value of the variable for a gain g, in its shape and dtype.

        If the variable holds the logarithm, a gain below 2^-100 is taken as 2^-100.
        """
        with substitution.full_precision():
            dtype = self.variable.dtype
        return ops.cast(ops.reshape(_held(g, self.log), self.variable.shape), dtype)


def check_options(
    owner: str,
    use_gain: bool,
    log_gain: bool,
    trainable_gain: bool | Mapping[str, bool],
    center: bool,
) -> None:
    """Checks the arguments of a layer that concern its gains and the centering of v.

    Args:
        owner: Name of the layer's class, for the message.
        use_gain: Boolean, whether the layer has gains.
        log_gain: Boolean, whether their variables hold log g.
        trainable_gain: Boolean, or a dict from the names of kernels to booleans.
        center: Boolean, whether the mean is subtracted from v.

    Raises:
        ValueError: If `log_gain` is set without gains, if `trainable_gain` is neither a boolean nor
            a dict of booleans, or if `center` is not a boolean.
    """
    if log_gain and not use_gain:
        raise ValueError(
            f"{owner}: log_gain={log_gain} with use_gain={use_gain}. "
            "Allowed: log_gain=True with use_gain=True."
        )
    is_dict = isinstance(trainable_gain, dict)
    values = trainable_gain.values() if is_dict else [trainable_gain]
    if not all(isinstance(value, bool) for value in values):
        raise ValueError(
            f"{owner}: trainable_gain={trainable_gain!r} is not allowed. Allowed: True, False, or "
            "a dict from the names of kernels to them."
        )
    if not isinstance(center, bool):
        raise ValueError(f"{owner}: center={center!r} is not allowed. Allowed: True or False.")


def add(
    layer: keras.layers.Layer,
    kernels: Mapping[str, Kernel],
    initializer: Callable | None,
    log: bool,
    trainable: bool | Mapping[str, bool] = True,
) -> dict[str, Gain]:
    """Adds one gain to `layer` for each kernel.

    Args:
        layer: Keras layer that is being built.
        kernels: Dict from a name to a `Kernel`.
        initializer: Keras initializer of g. `None` stands for the norm of the kernel.
        log: Boolean, whether the variables hold log g.
        trainable: Boolean, whether the gains are trained; or a dict from the name of a kernel to a
            boolean, where a kernel without an entry has a trained gain.

    Returns:
        Dict from the name of a kernel to its `Gain`. The gain's variable is called `<name>_g` or
        `<name>_log_g`, and the layer holds it in an attribute of the same name.

    Raises:
        ValueError: If `trainable` names a kernel that the layer does not have.
    """
    trainable = trainable if isinstance(trainable, dict) else dict.fromkeys(kernels, trainable)
    if unknown := set(trainable) - set(kernels):
        raise ValueError(
            f"Layer '{layer.name}': trainable_gain names the kernels {sorted(unknown)}. "
            f"Allowed: {', '.join(kernels)}."
        )
    gains = {}
    for name, kernel in kernels.items():
        variable_name = f"{name}_log_g" if log else f"{name}_g"
        start = _GainInitializer(kernel, initializer, log)
        variable = _add_variable(layer, kernel, variable_name, start, trainable.get(name, True))
        # When TensorFlow writes a checkpoint or a SavedModel, it finds only those variables that
        # are attributes.
        setattr(layer, variable_name, variable)
        gains[name] = Gain(variable, log)
    return gains


def _add_variable(layer, kernel, name, initializer, trainable):
    """Adds a variable as `layer.add_weight` does, with a layout that follows the kernel's.

    `add_weight` takes no layout. A `keras.distribution.LayoutMap` finds layouts by regular
    expressions, and an expression that matches a kernel also matches its gain, which has fewer
    axes. The gain is therefore sharded like the kernel along the axes that both have.
    """
    distribution = keras.distribution.distribution()
    layout = distribution and distribution.get_tensor_layout(kernel.variable.path)
    if layout is not None:
        shared_axes = [
            mesh_axis for axis, mesh_axis in enumerate(layout.axes) if axis not in kernel.gain_axes
        ]
        layout = keras.distribution.TensorLayout(shared_axes, layout.device_mesh)
    # The layer may be built inside the call of another layer, in which the kernel reads in the
    # compute dtype.
    with substitution.full_precision(), backend.name_scope(layer.name, caller=layer):
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


def not_computed() -> contextlib.AbstractContextManager:
    """Opens a scope in which new gains are 1, for layers that are thrown away."""
    return substitution.global_attribute(_NOT_COMPUTED, True)


class _GainInitializer:
    """Initializes the variable of a gain, from another initializer or from the kernel's norm."""

    def __init__(self, kernel, initializer, log):
        self._kernel, self._initializer, self._log = kernel, initializer, log

    def __call__(self, shape, dtype=None):
        if get_global_attribute(_NOT_COMPUTED):
            return ops.ones(shape, dtype)
        if self._initializer is None:
            g = norm_of(self._kernel)
        else:
            g = self._initializer(shape, dtype=dtype)
            if self._log:
                _check_positive(g, self._kernel.variable.path)
        return ops.cast(_held(g, self._log), dtype)


def _held(g, log):
    """Returns g, or the logarithm of g, of at least `_LEAST_GAIN`."""
    if not log:
        return g
    # Leave half precision first, which cannot represent 2^-100.
    g = ops.convert_to_tensor(g)
    g = g if keras.backend.standardize_dtype(g.dtype) == "float64" else ops.cast(g, "float32")
    return ops.log(ops.where(g < _LEAST_GAIN, ops.full_like(g, _LEAST_GAIN), g))


def _check_positive(g, path):
    least = float(ops.convert_to_numpy(ops.min(g)))
    # Written so that a NaN is refused as well.
    if not least > 0:
        raise ValueError(
            f"log_gain=True: a gain of '{path}' is {least}. Allowed: positive numbers."
        )


def trainable_option(
    layer: keras.layers.Layer, gains: Mapping[str, Gain], argument: bool | Mapping[str, bool]
) -> bool | Mapping[str, bool]:
    """Returns the value of `trainable_gain` for the configuration of a layer.

    It is the layer's argument, unless `trainable` of a gain's variable has been set since.

    Args:
        layer: Keras layer.
        gains: Dict from the names of its kernels to `Gain`; empty before the layer is built.
        argument: The layer's argument `trainable_gain`.
    """
    # In a frozen layer no variable is trainable, which says nothing about the gains by themselves.
    if not gains or not layer.trainable:
        return argument
    by_name = {name: gain.variable.trainable for name, gain in gains.items()}
    return by_name if len(set(by_name.values())) > 1 else next(iter(by_name.values()))


def norm_of(kernel: Kernel) -> Tensor:
    """Returns the gain that makes w equal to v: `||v||` of each output unit, in float32 or wider.

    With `kernel.center`, w is then `v - mean(v)`, and the gain its norm.

    If a gain is shared by units whose norms differ, it is the root mean square of their norms,
    which keeps the norm of the kernel as a whole.

    Returns:
        Tensor of shape `kernel.gain_shape`.
    """
    norm = direction_norm(kernel)
    if kernel.gain_axes != kernel.fan_in:
        norm = ops.broadcast_to(norm, kernel.variable.shape)
        norm = ops.sqrt(ops.mean(ops.square(norm), axis=kernel.gain_axes))
    return ops.reshape(norm, kernel.gain_shape)


def direction_norm(kernel: Kernel) -> Tensor:
    """Returns the divisor of weight normalization for each output unit, in float32 or wider.

    `||v||`, or `||v - mean(v)||` with `kernel.center`.

    Returns:
        Tensor of the shape of v with size 1 along `kernel.fan_in`.
    """
    with substitution.full_precision():
        return reparameterizations.norm(kernel.variable.value, kernel.fan_in, kernel.center)


def scale(kernel: Kernel, gain: Gain | None, factor: Tensor | None = None) -> Tensor:
    """Returns `g / ||v||` of each output unit, in float32 or wider.

    Args:
        kernel: `Kernel` whose variable is v, not centered, with one gain per output unit.
        gain: `Gain`, or `None` in the strict form, where g is 1.
        factor: Tensor of shape `kernel.units_shape` that multiplies the result. `None` stands
            for 1.

    Returns:
        Tensor of shape `kernel.units_shape`.
    """
    with substitution.full_precision():
        g = _times(gain, factor)
        result = reparameterizations.scale(kernel.variable.value, g, kernel.fan_in)
        return ops.reshape(result, kernel.units_shape)


def effective(kernel: Kernel, gain: Gain | None, factor: Tensor | None = None) -> Tensor:
    """Returns the effective weight w of a kernel.

    Args:
        kernel: `Kernel` whose variable is v.
        gain: `Gain`, or `None` in the strict form, where g is 1.
        factor: Tensor of shape `kernel.gain_shape` that multiplies w. `None` stands for 1.

    Returns:
        Tensor of the shape of v, in the dtype that v reads in.
    """
    dtype = substitution.read_dtype(kernel.variable)
    with substitution.full_precision():
        v, g = kernel.variable.value, _times(gain, factor)
        if g is None or kernel.gain_axes == kernel.fan_in:
            w = reparameterizations.weight_norm(v, g, kernel.fan_in, kernel.center)
        else:
            w = reparameterizations.weight_norm(v, None, kernel.fan_in, kernel.center)
            w = w * ops.expand_dims(ops.cast(g, w.dtype), kernel.gain_axes)
    return ops.cast(w, dtype)


def _times(gain, factor):
    """Multiplies g by a factor. Either may be `None`, which stands for 1."""
    g = None if gain is None else gain.value
    if g is None or factor is None:
        return factor if g is None else g
    return g * ops.cast(factor, g.dtype)
