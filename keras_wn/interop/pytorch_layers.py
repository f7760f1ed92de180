"""States which Keras layers and PyTorch modules correspond, and how each lays out a weight.

`_TABLE` is the only place that knows the layers: loading and saving both read it, so that a new
layer is a new row.
"""

import dataclasses
import math
from collections.abc import Callable

import keras
import numpy as np

from keras_wn.interop.stored_weight import Leaf, named_leaves, normalized_kernels
from keras_wn.layers import WeightNormalization
from keras_wn.layers.gains import Gain
from keras_wn.layers.kernels import FULL, Kernel, kernels_of, own_variables
from keras_wn.layers.selection import call_scale

_layers = keras.layers
# The attribute of a variable that holds the shape of a vector in PyTorch.
_TORCH_SHAPE = "_keras_wn_torch_shape"

ALLOWED = (
    "layers that correspond to PyTorch's Linear, ConvNd, ConvTransposeNd, Embedding, BatchNormNd, "
    "LayerNorm, GroupNorm, PReLU, RNN, GRU and LSTM, and layers of your own"
)


@dataclasses.dataclass(frozen=True)
class Layout:
    """The layouts of the same weight in Keras and in PyTorch.

    The functions take the gain of a weight as well as the weight itself: an array of as many axes,
    of size 1 along those of the norm.

    Attributes:
        to_keras: Function `(shape, *arrays)` from the weight's shape in Keras and PyTorch's arrays
            to Keras' array.
        to_torch: Function from Keras' array to a tuple of PyTorch's arrays.
        fits: Function from the shapes in Keras and in PyTorch to whether they can be of the same
            weight. None: whether PyTorch's shape is the shape that `to_torch` gives.
    """

    to_keras: Callable
    to_torch: Callable
    fits: Callable | None = None


@dataclasses.dataclass(frozen=True)
class Weight:
    """A weight of a Keras layer and its counterpart in a PyTorch module.

    Attributes:
        entries: Tuple of the names of the module's entries that together are the weight. Those of
            a recurrent layer lack the layer's number: `weight_ih`, `weight_ih_reverse`.
        variable: The Keras variable.
        layout: `Layout`.
        owner: The layer that normalizes the weight; None of a plain weight.
        kernel: Its `Kernel` in that layer; None of a plain weight.
        gain: Its `Gain`; None of a plain weight, and in the strict form.
    """

    entries: tuple[str, ...]
    variable: keras.Variable
    layout: Layout
    owner: keras.layers.Layer | None = None
    kernel: Kernel | None = None
    gain: Gain | None = None

    @property
    def torch_shapes(self) -> list[tuple[int, ...]]:
        """The shapes that the weight has in PyTorch, one for each entry."""
        array = np.broadcast_to(0.0, self.variable.shape)
        return [one.shape for one in self.layout.to_torch(array)]

    def to_torch(self, array: np.ndarray) -> tuple[np.ndarray, ...]:
        """The weight, or its gain, in PyTorch's layout.

        A vector has the shape that it had when it was loaded, because PyTorch's layers of a user's
        own can have any.
        """
        arrays = self.layout.to_torch(array)
        shape = getattr(self.variable, _TORCH_SHAPE, None)
        return arrays if shape is None else tuple(array.reshape(shape) for array in arrays)

    def remember_shape(self, shape: tuple[int, ...]) -> None:
        """Keeps the shape that a vector has in PyTorch, for `to_torch`."""
        if self.layout is _VECTOR and self.kernel is None:
            setattr(self.variable, _TORCH_SHAPE, shape)

    def to_keras(self, *arrays: np.ndarray) -> np.ndarray:
        """The weight, or its gain, in Keras' layout."""
        return self.layout.to_keras(tuple(self.variable.shape), *arrays)

    def fits(self, shapes: list[tuple[int, ...]]) -> bool:
        """Whether PyTorch's entries may have these shapes."""
        if self.layout.fits is None:
            return shapes == self.torch_shapes
        return all(self.layout.fits(tuple(self.variable.shape), shape) for shape in shapes)


@dataclasses.dataclass(frozen=True)
class Counterpart:
    """A layer with weights, and its counterpart in PyTorch.

    Attributes:
        name: The layer's name among the model's `named_leaves`; of a cell in a stack of cells,
            `name/l0` and so on.
        path: The path that leads to it. Empty for the model's own weights.
        weights: List of `Weight`.
        recurrent: Boolean, whether PyTorch numbers the entries: `weight_ih_l0`.
        refusal: None, or a sentence that says why PyTorch has no such module.
    """

    name: str
    path: str
    weights: list[Weight]
    recurrent: bool
    refusal: str | None


def counterparts(model: keras.layers.Layer) -> list[Counterpart]:
    """The layers of a model that have weights, in the model's order.

    Args:
        model: Built Keras model or layer.

    Returns:
        List of `Counterpart`.

    Raises:
        ValueError: If the model is not built or has no weights.
    """
    leaves = named_leaves(model) if model.built else []
    if not leaves:
        raise ValueError(
            f"Model '{model.name}' is not built or has no weights. "
            "Allowed: a model that was called on a batch or has an Input, and has weights."
        )
    return [counterpart for leaf in leaves for counterpart in _counterparts_of(leaf)]


def _counterparts_of(leaf):
    layer = _unwrapped(leaf.layer)
    cell = _unwrapped(layer.cell) if isinstance(layer, _layers.RNN) else None
    if not isinstance(cell, _layers.StackedRNNCells):
        return [_counterpart(leaf, layer)]
    # A stack of cells is one layer in Keras, and in PyTorch the numbered layers of one module.
    found = []
    for i, part in enumerate(cell.cells):
        variables = _unwrapped(part).weights
        numbered = Leaf(f"{leaf.name}/l{i}", leaf.layer, variables, f"{leaf.path}/l{i}")
        found.append(_counterpart(numbered, part, recurrent=True))
    return found


def _counterpart(leaf, layer, recurrent=False):
    normalized = {}
    for part in leaf.layer._flatten_layers():
        for key, (kernel, gain) in normalized_kernels(part).items():
            normalized[key] = {"owner": part, "kernel": kernel, "gain": gain}
    found = []
    for part, end in _parts(layer):
        for entries, variable, layout in _rows(part):
            if variable is not None:
                entries = tuple(f"{entry}{end}" for entry in entries)
                by = normalized.get(id(variable), {})
                found.append(Weight(entries, variable, layout, **by))
    recurrent = recurrent or isinstance(layer, _layers.RNN | _layers.Bidirectional)
    return Counterpart(leaf.name, leaf.path, found, recurrent, _refusal(leaf, layer, found))


def _unwrapped(layer):
    """The layer inside of wrappers that compute with its weights as it does."""
    while isinstance(layer, WeightNormalization | _layers.TimeDistributed):
        layer = layer.layer
    return layer


def _parts(layer):
    """Pairs of a layer or cell that has the weights, and how PyTorch's names of them end."""
    layer = _unwrapped(layer)
    if isinstance(layer, _layers.Bidirectional):
        backward = [(part, "_reverse") for part, _ in _parts(layer.backward_layer)]
        return _parts(layer.forward_layer) + backward
    return _parts(layer.cell) if isinstance(layer, _layers.RNN) else [(layer, "")]


def _rows(layer):
    """Triples of PyTorch's entries, the variable or None, and the layout."""
    for classes, row in _TABLE:
        if isinstance(layer, classes):
            variables = {kernel.name: kernel.variable for kernel in kernels_of(layer)}
            for _, name, _ in row:
                variables.setdefault(name, getattr(layer, name, None))
            return [(entries, variables[name], layout) for entries, name, layout in row]
    if type(layer).__module__.partition(".")[0] in ("keras", "keras_wn"):
        return []
    # Layers of the user's own may have PyTorch modules whose weights have the same names.
    return [((variable.name,), variable, _VECTOR) for variable in own_variables(layer)]


def _refusal(leaf, layer, weights):
    """A sentence that says why PyTorch has no counterpart of a layer; None if it has one."""
    layer = _unwrapped(layer)
    kind = f"Layer '{leaf.name}' ({type(layer).__name__})"
    for cell, _ in _parts(layer):
        if isinstance(cell, _layers.GRUCell) and not cell.reset_after:
            return f"{kind} has reset_after=False. Allowed: reset_after=True, as PyTorch's GRU."
        for option, allowed in _ACTIVATIONS.get(type(cell), {}).items():
            name = keras.activations.serialize(getattr(cell, option))
            if name not in allowed:
                listed = " or ".join(allowed)
                return f"{kind} has {option}={name!r}. Allowed: {listed}, as in PyTorch's module."
    if isinstance(layer, _layers.LayerNormalization) and np.size(layer.axis) > 1:
        return f"{kind} normalizes over the axes {layer.axis}. Allowed: over one."
    if call_scale(leaf.layer) is not None:
        return f"{kind} takes a scale from another layer. Allowed: layers without a scale."
    for weight in weights:
        if weight.layout in (_VECTOR, _SLOPES) and sum(n > 1 for n in weight.variable.shape) > 1:
            shape = tuple(weight.variable.shape)
            return (
                f"{kind} has a weight '{weight.variable.name}' of shape {shape}, whose layout in "
                "PyTorch is not known. Allowed there: weights with one axis longer than 1 at most."
            )
    known = {id(weight.variable) for weight in weights} | {
        id(weight.gain.variable) for weight in weights if weight.gain is not None
    }
    if any(id(variable) not in known for variable in leaf.variables):
        return f"{kind} is not allowed. Allowed: {ALLOWED}."
    return None


def _same(shape, array):
    return array


def _alone(array):
    return (array,)


def _output_last(shape, array):
    """From (output, input, *kernel) to (*kernel, input, output).

    In transposed convolutions, input and output are swapped in both libraries.
    """
    return array.transpose(*range(2, array.ndim), 1, 0)


def _output_first(array):
    return (array.transpose(array.ndim - 1, array.ndim - 2, *range(array.ndim - 2)),)


def _depthwise_to_keras(shape, array):
    """From (input x multiplier, 1, *kernel) to (*kernel, input, multiplier)."""
    channels = (1, 1) if array.shape[0] == 1 else (-1, shape[-1])
    array = array.reshape(*channels, *array.shape[2:])
    return array.transpose(*range(2, array.ndim), 0, 1)


def _depthwise_to_torch(array):
    array = array.transpose(array.ndim - 2, array.ndim - 1, *range(array.ndim - 2))
    return (array.reshape(-1, 1, *array.shape[2:]),)


def _swapped_gates(array):
    """From PyTorch's gates (reset, update, new) to Keras' (update, reset, new), and back."""
    if array.shape[-1] == 1:
        return array  # All gates share one gain.
    first, second, third = np.split(array, 3, axis=-1)
    return np.concatenate([second, first, third], axis=-1)


def _gru_to_keras(shape, array):
    return _swapped_gates(array.transpose())


def _gru_to_torch(array):
    return (_swapped_gates(array).transpose(),)


def _gru_biases_to_keras(shape, input_bias, state_bias):
    return np.stack([_swapped_gates(input_bias), _swapped_gates(state_bias)])


def _gru_biases_to_torch(array):
    return tuple(_swapped_gates(array))


def _sum(shape, input_bias, state_bias):
    return input_bias + state_bias


def _and_zeros(array):
    return (array, np.zeros_like(array))


def _vector(shape, array):
    return array.reshape(shape if array.size == math.prod(shape) else (1,) * len(shape))


def _is_vector_of_length(shape, torch_shape):
    return math.prod(torch_shape) == max(torch_shape, default=1) == math.prod(shape)


def _slopes_to_keras(shape, array):
    return np.broadcast_to(array.reshape((1,) * (len(shape) - 1) + (-1,)), shape)


def _slopes_to_torch(array):
    return (array.reshape(-1),)


def _is_slope_or_slopes(shape, torch_shape):
    return torch_shape in ((1,), (shape[-1],))


_SAME = Layout(_same, _alone)
_OUTPUT = Layout(_output_last, _output_first)
_DEPTHWISE = Layout(_depthwise_to_keras, _depthwise_to_torch)
_GRU = Layout(_gru_to_keras, _gru_to_torch)
_GRU_BIASES = Layout(_gru_biases_to_keras, _gru_biases_to_torch)
# Keras has one bias where PyTorch has two that are added.
_BIASES = Layout(_sum, _and_zeros)
# A weight with one axis longer than 1 at most is the same in every order of axes.
_VECTOR = Layout(_vector, _alone, _is_vector_of_length)
_SLOPES = Layout(_slopes_to_keras, _slopes_to_torch, _is_slope_or_slopes)

_BIAS = (("bias",), "bias", _SAME)
_SCALE_AND_SHIFT = ((("weight",), "gamma", _SAME), (("bias",), "beta", _SAME))
_STATISTICS = (
    (("running_mean",), "moving_mean", _SAME),
    (("running_var",), "moving_variance", _SAME),
)
_BOTH_BIASES = ("bias_ih", "bias_hh")
# Keras classes, and for each of their weights PyTorch's entries, the name in Keras and the layout.
_TABLE = [
    (FULL, ((("weight",), "kernel", _OUTPUT), _BIAS)),
    (
        (_layers.DepthwiseConv1D, _layers.DepthwiseConv2D),
        ((("weight",), "kernel", _DEPTHWISE), _BIAS),
    ),
    (_layers.Embedding, ((("weight",), "embeddings", _SAME),)),
    (_layers.BatchNormalization, (*_SCALE_AND_SHIFT, *_STATISTICS)),
    ((_layers.LayerNormalization, _layers.GroupNormalization), _SCALE_AND_SHIFT),
    (_layers.PReLU, ((("weight",), "alpha", _SLOPES),)),
    (
        (_layers.LSTMCell, _layers.SimpleRNNCell),
        (
            (("weight_ih",), "kernel", _OUTPUT),
            (("weight_hh",), "recurrent_kernel", _OUTPUT),
            (_BOTH_BIASES, "bias", _BIASES),
        ),
    ),
    (
        _layers.GRUCell,
        (
            (("weight_ih",), "kernel", _GRU),
            (("weight_hh",), "recurrent_kernel", _GRU),
            (_BOTH_BIASES, "bias", _GRU_BIASES),
        ),
    ),
]
_GATES = {"activation": ("tanh",), "recurrent_activation": ("sigmoid",)}
# The activations that PyTorch's recurrent modules have, which compute them themselves.
_ACTIVATIONS = {
    _layers.LSTMCell: _GATES,
    _layers.GRUCell: _GATES,
    _layers.SimpleRNNCell: {"activation": ("tanh", "relu")},
}
