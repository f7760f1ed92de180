"""Finds the kernels of Keras' layers, and reads and writes the variables that a layer owns.

For each kernel, this module knows the axes that make up the fan-in of an output unit, which are the
axes that the norm of weight normalization is taken over.
"""

import dataclasses
import math
from collections.abc import Mapping, MutableMapping
from typing import Any

import keras
from keras.src.layers.rnn.conv_lstm import ConvLSTMCell  # Not exported by Keras.


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel of a built layer.

    Attributes:
        name: The kernel's name in Keras, for example `recurrent_kernel`.
        variable: The variable that holds it.
        fan_in: Tuple of the axes that the norm is taken over: all but those of the output units.
        gain_axes: Tuple of the axes along which a gain is constant. `None` stands for `fan_in`.
        center: Boolean, whether the mean over `fan_in` is subtracted from v.

    Raises:
        ValueError: If `center` is set and a filter has a single entry.
    """

    name: str
    variable: keras.Variable
    fan_in: tuple[int, ...]
    gain_axes: tuple[int, ...] | None = None
    center: bool = False

    def __post_init__(self):
        if self.gain_axes is None:
            object.__setattr__(self, "gain_axes", self.fan_in)
        if self.center and math.prod(self.variable.shape[axis] for axis in self.fan_in) == 1:
            raise ValueError(
                f"'{self.variable.path}' has center=True, and filters of a single entry, which are "
                f"always 0 when they are centered: its shape is {tuple(self.variable.shape)} and "
                f"the norm is over the axes {self.fan_in}. Allowed: center=False."
            )

    @property
    def units_shape(self) -> tuple[int, ...]:
        """The shape of a tensor with one number per output unit."""
        return self._shape_without(self.fan_in)

    @property
    def gain_shape(self) -> tuple[int, ...]:
        """The shape of a gain: `units_shape`, unless the gain has axes of its own."""
        return self._shape_without(self.gain_axes)

    def _shape_without(self, axes):
        return tuple(n for axis, n in enumerate(self.variable.shape) if axis not in axes)


def kernels_of(layer: keras.layers.Layer) -> list[Kernel]:
    """Returns the kernels of one built layer, without those of its sublayers.

    Args:
        layer: Built Keras layer.

    Returns:
        List of `Kernel`. It is empty if the class of the layer has none.

    Raises:
        ValueError: If the class of the layer has kernels and the layer is not built, if a kernel is
            quantized, or if the equation of an einsum layer contracts no axis of the kernel.

    Example:

    >>> layer = keras.layers.Conv2DTranspose(8, 3)
    >>> layer.build((None, 5, 5, 4))
    >>> [(kernel.name, kernel.fan_in, kernel.units_shape) for kernel in kernels_of(layer)]
    [('kernel', (0, 1, 3), (8,))]
    """
    for classes, kernels in _KERNELS:
        if isinstance(layer, classes):
            return [
                _kernel(layer, name, attribute, fan_in_of)
                for name, (attribute, fan_in_of) in kernels.items()
            ]
    return []


def is_known(layer: keras.layers.Layer) -> bool:
    """Whether the class of a layer has kernels, even if they are not built yet or are quantized."""
    return any(isinstance(layer, classes) for classes, _ in _KERNELS)


def _kernel(layer, name, attribute, fan_in_of):
    variable = getattr(layer, attribute, None)
    if variable is None:
        raise ValueError(
            f"Layer '{layer.name}' is not built: it has no {name} yet. Call it, or build it, first."
        )
    if not keras.backend.is_float_dtype(variable.dtype):
        raise ValueError(
            f"Layer '{layer.name}': {name} is quantized ({variable.dtype}). "
            "Allowed: kernels of floats."
        )
    return Kernel(name, variable, fan_in_of(layer, variable))


def _all_axes_but(*unit_axes):
    """Makes a function that returns all axes of a kernel but these, counted from the end."""

    def fan_in_of(layer, variable):
        del layer  # Every layer of the class has the same fan-in.
        rank = len(variable.shape)
        return tuple(axis for axis in range(rank) if axis - rank not in unit_axes)

    return fan_in_of


def _contracted_axes(layer, variable):
    """Returns the axes of an einsum kernel that its output does not have."""
    del variable
    inputs_and_kernel, output = layer.equation.replace(" ", "").split("->")
    kernel_letters = inputs_and_kernel.split(",")[1]
    fan_in = tuple(axis for axis, letter in enumerate(kernel_letters) if letter not in output)
    if not fan_in:
        raise ValueError(
            f"Layer '{layer.name}': equation={layer.equation!r} contracts no axis of its kernel, "
            "so that there is nothing to normalize. Allowed: an equation that sums over an axis of "
            "the kernel."
        )
    return fan_in


_layers = keras.layers
_DENSE_AND_CONVOLUTIONS = (_layers.Dense, _layers.Conv1D, _layers.Conv2D, _layers.Conv3D)
_TRANSPOSED = (_layers.Conv1DTranspose, _layers.Conv2DTranspose, _layers.Conv3DTranspose)
_DEPTHWISE = (_layers.DepthwiseConv1D, _layers.DepthwiseConv2D)
_SEPARABLE = (_layers.SeparableConv1D, _layers.SeparableConv2D)
# Layers with one kernel, in which each output unit has a filter over all input channels.
FULL = (*_DENSE_AND_CONVOLUTIONS, *_TRANSPOSED)
# Layers whose last kernel has the units of the output.
LINEAR = (*FULL, *_DEPTHWISE, *_SEPARABLE)

# For each group of classes, the names of the kernels, each with the attribute that holds the
# variable and a function `(layer, variable)` that returns the fan-in. The first match counts.
_KERNELS = [
    # One norm per token: an embedding looks up vectors, one for each token.
    (_layers.Embedding, {"embeddings": ("_embeddings", _all_axes_but(-2))}),
    (_layers.EinsumDense, {"kernel": ("_kernel", _contracted_axes)}),
    # The axes of a transposed kernel are (..., output, input).
    (_TRANSPOSED, {"kernel": ("kernel", _all_axes_but(-2))}),
    # The axes of a depthwise kernel are (..., input, multiplier); each pair is an output channel.
    (_DEPTHWISE, {"kernel": ("kernel", _all_axes_but(-2, -1))}),
    (
        _SEPARABLE,
        {
            "depthwise_kernel": ("depthwise_kernel", _all_axes_but(-2, -1)),
            "pointwise_kernel": ("pointwise_kernel", _all_axes_but(-1)),
        },
    ),
    (_DENSE_AND_CONVOLUTIONS, {"kernel": ("_kernel", _all_axes_but(-1))}),
    (
        (_layers.SimpleRNNCell, _layers.GRUCell, _layers.LSTMCell, ConvLSTMCell),
        {
            "kernel": ("kernel", _all_axes_but(-1)),
            "recurrent_kernel": ("recurrent_kernel", _all_axes_but(-1)),
        },
    ),
]


def one_or_all(by_name: Mapping[str, Any]) -> Any:
    """Returns the only value of a dict, or the dict itself if it has several."""
    return next(iter(by_name.values())) if len(by_name) == 1 else by_name


def own_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the weights of a layer, without those of its sublayers."""
    return layer._trainable_variables + layer._non_trainable_variables


def save_by_name(layer: keras.layers.Layer, store: MutableMapping) -> None:
    """Writes the layer's own variables into a Keras weights store, each under its name."""
    for variable in own_variables(layer):
        store[variable.name] = variable


def load_by_name(layer: keras.layers.Layer, store: Mapping) -> None:
    """Reads the variables that `save_by_name` wrote.

    Raises:
        ValueError: If names or shapes differ. No variable is assigned then.
    """
    expected = {variable.name: variable for variable in own_variables(layer)}
    if set(store.keys()) != set(expected):
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}) expected the variables "
            f"{sorted(expected)}, but the weights file holds {sorted(store.keys())}."
        )
    for name, variable in expected.items():
        if tuple(store[name].shape) != tuple(variable.shape):
            raise ValueError(
                f"Layer '{layer.name}' expected variable '{name}' of shape "
                f"{tuple(variable.shape)}, but the weights file holds shape "
                f"{tuple(store[name].shape)}."
            )
    for name, variable in expected.items():
        variable.assign(store[name])
