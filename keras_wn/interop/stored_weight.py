"""Matches the weights that another library stored with layers, and reports what was loaded."""

import collections
import dataclasses
import warnings

import keras
import numpy as np
from keras import ops

from keras_wn.layers import WeightNormalization
from keras_wn.layers.kernels import kernels_of, own_variables
from keras_wn.layers.reparameterized import Reparameterized


@dataclasses.dataclass(frozen=True)
class StoredWeight:
    """A kernel as read from elsewhere, in Keras' layout.

    Attributes:
        v: Array. With `g` None it is the weight itself.
        g: Array of as many axes as `v`, of size 1 along those of the norm; or None.
    """

    v: np.ndarray
    g: np.ndarray | None

    @property
    def w(self):
        """`g v / ||v||`, in float64."""
        v = self.v.astype("float64")
        if self.g is None:
            return v
        norm = np.sqrt(np.sum(np.square(v), axis=self._norm_axes, keepdims=True))
        return self.g.astype("float64") * v / np.where(norm > 0, norm, 1.0)

    @property
    def _norm_axes(self):
        return tuple(axis for axis, n in enumerate(self.g.shape) if n == 1)

    def other_axes(self, kernel):
        """The `axis` that would keep v and g, or None if the layer's norm has the stored axes."""
        same = self.g is None or (
            self.g.shape == _lengths(kernel) and kernel.gain_axes == kernel.fan_in
        )
        return None if same else self._norm_axes

    def assignments(self, layer, kernel, gain):
        """Assignments that make the layer's weight `w`: the stored v and g if the axes agree.

        Args:
            layer: Keras layer that the kernel is normalized in, or a plain one.
            kernel: Its `Kernel`.
            gain: Its `Gain`; None in the strict form, and in a plain layer.

        Returns:
            List of pairs of a variable and an array.

        Raises:
            ValueError: If the shape differs, or if the layer cannot hold the weight.
        """
        shape = tuple(kernel.variable.shape)
        if self.v.shape != shape:
            raise ValueError(
                f"Layer '{layer.name}' expected a kernel '{kernel.name}' of shape {shape}. "
                f"Received: {self.v.shape}."
            )
        if not is_normalized(layer, kernel):
            return [(kernel.variable, self.w)]
        v, g = self.v, self.g
        if g is None or self.other_axes(kernel) is not None:
            v = self.w
            g = _gain_of(layer, kernel, v)
            # A zero filter needs a direction to leave zero by; w is 0 while its gain is.
            v = np.where(g == 0, np.random.default_rng(0).normal(size=shape), v)
        if gain is None:
            if not np.allclose(g, 1.0, rtol=1e-5):
                raise ValueError(
                    f"Layer '{layer.name}' has use_gain=False and cannot hold a gain of "
                    f"{g.flat[np.argmax(np.abs(g - 1))]:.6g}. "
                    "Allowed: use_gain=True."
                )
            return [(kernel.variable, v)]
        if gain.log:
            # A positive gain of the opposite direction.
            v, g = np.where(g < 0, -v, v), np.abs(g)
        held = gain.held(ops.convert_to_tensor(g.astype(gain.variable.dtype)))
        return [(kernel.variable, v), (gain.variable, ops.convert_to_numpy(held))]


def _lengths(kernel):
    """Shape of a gain in the kernel's rank: 1 along the axes where it is constant."""
    return tuple(
        1 if axis in kernel.gain_axes else n for axis, n in enumerate(kernel.variable.shape)
    )


def _gain_of(layer, kernel, w):
    """The gain of a weight, of size 1 along the axes where it is constant.

    Raises:
        ValueError: If norms differ that the layer has one gain for.
    """
    norm = np.sqrt(np.sum(np.square(w), axis=kernel.fan_in, keepdims=True))
    if kernel.gain_axes == kernel.fan_in:
        return norm
    g = np.sqrt(
        np.mean(np.square(np.broadcast_to(norm, w.shape)), axis=kernel.gain_axes, keepdims=True)
    )
    if not np.allclose(norm, g, rtol=1e-4):
        raise ValueError(
            f"Layer '{layer.name}' has a gain that is constant along the axes {kernel.gain_axes} "
            "and cannot hold a weight whose "
            f"norms over the axes {kernel.fan_in} differ along these. Allowed: weights whose "
            "norms do not, or gain_axis=None."
        )
    return g


def is_normalized(layer, kernel):
    """Whether a kernel is one that its layer normalizes."""
    return id(kernel.variable) in normalized_kernels(layer)


def normalized_kernels(layer):
    """Normalized kernels by `id(variable)`, each with its gain. Empty for a plain layer."""
    if not isinstance(layer, Reparameterized | WeightNormalization):
        return {}
    return {id(kernel.variable): (kernel, gain) for kernel, gain in layer.kernels_and_gains()}


def weights_but_gains(layer):
    """What the plain layer has of a layer's weights."""
    gains = {
        id(gain.variable) for _, gain in normalized_kernels(layer).values() if gain is not None
    }
    return [variable for variable in inner_of(layer).weights if id(variable) not in gains]


def inner_of(layer):
    """The layer that has the kernels: the one in the wrapper, or the layer itself."""
    return layer.layer if isinstance(layer, WeightNormalization) else layer


def kernels_and_gains_of(layer):
    """All kernels of a layer without sublayers, each with its gain or None."""
    normalized = normalized_kernels(layer)
    return [
        normalized.get(id(kernel.variable), (kernel, None))
        for kernel in kernels_of(inner_of(layer))
    ]


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A part of a model that has weights of its own.

    Attributes:
        name: Name of the layer; where several have it, the path that leads to it, as
            `block_1/conv`.
        layer: A plain layer, a `WeightNormalization` with all that is in it, a recurrent or
            bidirectional layer with its cells, or a layer around others that has weights of its
            own.
        variables: List of the weights: those of the layer; of a layer around others, its own alone.
        path: The path that leads to the layer, as `block_1/conv`, whether it is the name or not.
    """

    name: str
    layer: keras.layers.Layer
    variables: list
    path: str


def named_leaves(model):
    """The leaves of a model, each once, in the model's order.

    Args:
        model: Built Keras model or layer.

    Returns:
        List of `Leaf`. Layers without weights are not among them.
    """
    found = {}
    for path, layer, variables in _leaves(model, ()):
        if variables:
            found.setdefault(id(layer), (path, layer, variables))
    counts = collections.Counter(layer.name for _, layer, _ in found.values())
    return [
        Leaf(
            layer.name if counts[layer.name] == 1 else "/".join(path),
            layer,
            variables,
            "/".join(path),
        )
        for path, layer, variables in found.values()
    ]


def _leaves(layer, path):
    whole = WeightNormalization | keras.layers.RNN | keras.layers.Bidirectional
    if isinstance(layer, whole) or kernels_of(layer) or not layer._layers:
        return [(path or (layer.name,), layer, layer.weights)]
    found = [(path or (layer.name,), layer, own_variables(layer))]
    # A model's own order is that of its graph.
    for sublayer in layer.layers if isinstance(layer, keras.Model) else layer._layers:
        found += _leaves(sublayer, (*path, sublayer.name))
    return found


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """Report of a load of foreign weights.

    Attributes:
        loaded: Dict from the name of each layer that was loaded to the name of what it was loaded
            from.
        other_axes: Dict from the name of a layer whose norm has other axes than the stored one to
            the `axis` of `keras_wn.layers.WeightNormalization` that keeps v and g as they are
            stored. Its weight w is the same all the same.
        missing: List of the names of the model's layers that nothing was loaded into; of a layer
            that was loaded in part, `layer/weight`.
        unexpected: List of the names of what was stored and went nowhere.
    """

    loaded: dict[str, str]
    other_axes: dict[str, tuple[int, ...]]
    missing: list[str]
    unexpected: list[str]

    def warn_of_other_axes(self, caller):
        """Warns, once for all layers, where v and g are not those that were stored."""
        if self.other_axes:
            listed = ", ".join(f"'{name}': axis={axis}" for name, axis in self.other_axes.items())
            warnings.warn(
                f"{caller}: w is the same, but v and g are new where the stored norm has other "
                "axes than the layer's. To keep v and g, "
                "use keras_wn.layers.WeightNormalization(layer, axis=...) there with "
                f"{{{listed}}}.",
                stacklevel=3,
            )


def assign(assignments):
    """Assigns each array to its variable: all of them or, with an error, none."""
    converted = [
        (variable, ops.convert_to_tensor(np.asarray(value, "float64"), variable.dtype))
        for variable, value in assignments
    ]
    for variable, value in converted:
        variable.assign(value)
