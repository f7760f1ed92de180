"""The gains that a weight-normalized layer adds to kernels, and the weights that come of them."""

import dataclasses

import keras
from keras import ops

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


def check_options(owner, use_gain, log_gain):
    """Refuses the logarithm of a gain that is not there."""
    if log_gain and not use_gain:
        raise ValueError(
            f"{owner}: log_gain={log_gain} with use_gain={use_gain}. Allowed: log_gain=True with use_gain=True."
        )


def add(layer, kernels, initializer, log, trainable=True):
    """Adds a gain to `layer` for each kernel.

    Args:
        layer: Keras layer that is being built.
        kernels: Dict from a name to a `Kernel`.
        initializer: Keras initializer of g; None for the kernel's norm.
        log: Boolean, whether the variable holds log g.
        trainable: Boolean, whether it is trained.

    Returns:
        Dict from the name to the `Gain`, whose variable is `<name>_g` or `<name>_log_g`.
    """
    return {
        name: Gain(
            layer.add_weight(
                name=f"{name}_log_g" if log else f"{name}_g",
                shape=kernel.units_shape,
                dtype=kernel.variable.dtype,
                initializer=_Start(kernel, initializer, log),
                trainable=trainable,
            ),
            log,
        )
        for name, kernel in kernels.items()
    }


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
    """||v|| of a kernel, one number per output unit, in float32 or wider."""
    with substitution.full_precision():
        return ops.reshape(reparameterizations.norm(kernel.variable.value, kernel.fan_in), kernel.units_shape)


def scale(kernel, gain, factor=None):
    """g / ||v|| of a kernel, one number per output unit, in float32 or wider; 1 / ||v|| in the strict form.

    Args:
        kernel: `Kernel`, whose variable is v.
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
        factor: Tensor of `kernel.units_shape` that multiplies it; None for 1.

    Returns:
        Tensor of v's shape and dtype.
    """
    dtype = kernel.variable.dtype
    with substitution.full_precision():
        w = reparameterizations.weight_norm(kernel.variable.value, _times(gain, factor), kernel.fan_in)
    return ops.cast(w, dtype)


def _times(gain, factor):
    """g times a factor, either of which may be None for 1."""
    g = None if gain is None else gain.value
    if g is None or factor is None:
        return factor if g is None else g
    return g * ops.cast(factor, g.dtype)
