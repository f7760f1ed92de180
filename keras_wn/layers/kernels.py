"""Where the kernels of Keras' layers lie, and which of their axes are an output unit's fan-in."""

import dataclasses

import keras
from keras.src.layers.rnn.conv_lstm import ConvLSTMCell  # Not exported by Keras.


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel of a built layer.

    Attributes:
        name: Its name in Keras, for example `recurrent_kernel`.
        variable: The variable.
        fan_in: Tuple of the axes that the norm runs over: all but those of the output units.
        gain_axes: Tuple of the axes along which a gain is constant. None: those of the norm.
    """

    name: str
    variable: keras.Variable
    fan_in: tuple[int, ...]
    gain_axes: tuple[int, ...] | None = None

    def __post_init__(self):
        if self.gain_axes is None:
            object.__setattr__(self, "gain_axes", self.fan_in)

    @property
    def units_shape(self):
        """Shape of one number per output unit."""
        return self._without(self.fan_in)

    @property
    def gain_shape(self):
        """Shape of a gain: `units_shape`, unless the gain has axes of its own."""
        return self._without(self.gain_axes)

    def _without(self, axes):
        return tuple(n for axis, n in enumerate(self.variable.shape) if axis not in axes)


def kernels_of(layer):
    """Kernels of one built layer, those of its sublayers not among them.

    Args:
        layer: Built Keras layer.

    Returns:
        List of `Kernel`; empty if the layer's class has none.

    Raises:
        ValueError: If the layer's class has kernels and the layer is not built, or if they are quantized.

    Example:

    >>> layer = keras.layers.Conv2DTranspose(8, 3)
    >>> layer.build((None, 5, 5, 4))
    >>> [(kernel.name, kernel.fan_in, kernel.units_shape) for kernel in kernels_of(layer)]
    [('kernel', (0, 1, 3), (8,))]
    """
    for classes, attributes in _ATTRIBUTES:
        if isinstance(layer, classes):
            return [_kernel(layer, name, *where) for name, where in attributes.items()]
    return []


def is_known(layer):
    """Whether a layer's class has kernels, be they built, quantized or neither."""
    return any(isinstance(layer, classes) for classes, _ in _ATTRIBUTES)


def _kernel(layer, name, attribute, fan_in):
    variable = getattr(layer, attribute, None)
    if variable is None:
        raise ValueError(f"Layer '{layer.name}' is not built: it has no {name} yet. Call it, or build it, first.")
    if not keras.backend.is_float_dtype(variable.dtype):
        raise ValueError(f"Layer '{layer.name}': {name} is quantized ({variable.dtype}). Allowed: kernels of floats.")
    return Kernel(name, variable, fan_in(layer, variable))


def _all_but(*units):
    def fan_in(layer, variable):
        del layer  # The same for every layer of the class.
        rank = len(variable.shape)
        return tuple(axis for axis in range(rank) if axis - rank not in units)

    return fan_in


def _contracted(layer, variable):
    """Axes of an einsum kernel that the output does not have."""
    del variable
    inputs_and_kernel, output = layer.equation.replace(" ", "").split("->")
    axes = inputs_and_kernel.split(",")[1]
    fan_in = tuple(axis for axis, letter in enumerate(axes) if letter not in output)
    if not fan_in:
        raise ValueError(
            f"Layer '{layer.name}': equation={layer.equation!r} contracts no axis of its kernel, so that there is "
            "nothing to normalize. Allowed: an equation that sums over an axis of the kernel."
        )
    return fan_in


_layers = keras.layers
_TRANSPOSES = (_layers.Conv1DTranspose, _layers.Conv2DTranspose, _layers.Conv3DTranspose)
_DEPTHWISE = (_layers.DepthwiseConv1D, _layers.DepthwiseConv2D)
_SEPARABLE = (_layers.SeparableConv1D, _layers.SeparableConv2D)
_DENSE_AND_CONVOLUTIONS = (_layers.Dense, _layers.Conv1D, _layers.Conv2D, _layers.Conv3D)
# Layers with one kernel that holds a filter over all input channels for each output unit; and all whose last kernel has the output's units.
FULL = (*_DENSE_AND_CONVOLUTIONS, *_TRANSPOSES)
LINEAR = (*FULL, *_DEPTHWISE, *_SEPARABLE)
_LAST = {"kernel": ("_kernel", _all_but(-1))}
_RECURRENT = {"kernel": ("kernel", _all_but(-1)), "recurrent_kernel": ("recurrent_kernel", _all_but(-1))}
# Classes -> kernel's name -> attribute that holds it, and its fan-in. The first that fits counts.
_ATTRIBUTES = [
    # One norm per token: an embedding is the vector that is looked up.
    (_layers.Embedding, {"embeddings": ("_embeddings", _all_but(-2))}),
    (_layers.EinsumDense, {"kernel": ("_kernel", _contracted)}),
    # Transposed kernels are (..., output, input).
    (
        _TRANSPOSES,
        {"kernel": ("kernel", _all_but(-2))},
    ),
    # Depthwise kernels are (..., input, multiplier): each pair is an output channel.
    (_DEPTHWISE, {"kernel": ("kernel", _all_but(-2, -1))}),
    (
        _SEPARABLE,
        {
            "depthwise_kernel": ("depthwise_kernel", _all_but(-2, -1)),
            "pointwise_kernel": ("pointwise_kernel", _all_but(-1)),
        },
    ),
    (_DENSE_AND_CONVOLUTIONS, _LAST),
    ((_layers.SimpleRNNCell, _layers.GRUCell, _layers.LSTMCell, ConvLSTMCell), _RECURRENT),
]
