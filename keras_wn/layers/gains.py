"""The gains that a weight-normalized layer adds to kernels, and how variables are saved by name."""

import keras

from keras_wn.layers import substitution
from keras_wn.reparameterizations import norm, weight_norm


def add(layer, kernels, initializer):
    """Adds a gain variable to `layer` for each kernel.

    Args:
        layer: Keras layer that is being built.
        kernels: Dict from a name to a `Kernel`.
        initializer: Keras initializer; None for the kernel's norm.

    Returns:
        Dict from the name to the variable `<name>_g`.
    """
    return {
        name: layer.add_weight(
            name=f"{name}_g",
            shape=kernel.units_shape,
            dtype=kernel.variable.dtype,
            initializer=initializer or _Norm(kernel),
        )
        for name, kernel in kernels.items()
    }


class _Norm:
    """Initializer that starts a gain at its kernel's norm."""

    def __init__(self, kernel):
        self._kernel = kernel

    def __call__(self, shape, dtype=None):
        with substitution.full_precision():
            value = norm(self._kernel.variable.value, self._kernel.fan_in)
        return keras.ops.cast(keras.ops.reshape(value, shape), dtype)


def effective(kernel, gain):
    """The weight w of a kernel.

    Args:
        kernel: `Kernel`, whose variable is v.
        gain: Variable g, or None for the strict form.

    Returns:
        Tensor of v's shape and dtype.
    """
    dtype = kernel.variable.dtype
    with substitution.full_precision():
        w = weight_norm(kernel.variable.value, None if gain is None else gain.value, kernel.fan_in)
    return keras.ops.cast(w, dtype)


def save_by_name(layer, store):
    """Writes the layer's own variables into a Keras weights store, each under its name."""
    for variable in _own_variables(layer):
        store[variable.name] = variable


def load_by_name(layer, store):
    """Reads what `save_by_name` wrote.

    Raises:
        ValueError: If names or shapes differ; then nothing is assigned.
    """
    expected = {variable.name: variable for variable in _own_variables(layer)}
    if set(store.keys()) != set(expected):
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}) expected the variables {sorted(expected)}, "
            f"but the weights file holds {sorted(store.keys())}."
        )
    for name, variable in expected.items():
        if tuple(store[name].shape) != tuple(variable.shape):
            raise ValueError(
                f"Layer '{layer.name}' expected variable '{name}' of shape {tuple(variable.shape)}, "
                f"but the weights file holds shape {tuple(store[name].shape)}."
            )
    for name, variable in expected.items():
        variable.assign(store[name])


def _own_variables(layer):
    return layer._trainable_variables + layer._non_trainable_variables
