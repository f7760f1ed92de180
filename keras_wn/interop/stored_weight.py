"""Assigns weights that another library stored to the layers of a model, and reports the load."""

import collections
import dataclasses
import warnings
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wn.layers import WeightNormalization
from keras_wn.layers.gains import Gain
from keras_wn.layers.kernels import Kernel, kernels_of, own_variables
from keras_wn.layers.reparameterized import Reparameterized

# Pairs of a variable and the array that it is to get.
Assignments = list[tuple[keras.Variable, Any]]


@dataclasses.dataclass(frozen=True)
class StoredWeight:
    """A kernel that another library stored, in Keras' layout.

    Attributes:
        v: Array. It is the weight itself if `g` is None.
        g: Array of as many axes as `v`, of size 1 along the axes of the norm, or None.
    """

    v: np.ndarray
    g: np.ndarray | None

    @property
    def w(self) -> np.ndarray:
        """`g v / ||v||`, in float64."""
        v = self.v.astype("float64")
        if self.g is None:
            return v
        norm = np.sqrt(np.sum(np.square(v), axis=self._norm_axes, keepdims=True))
        return self.g.astype("float64") * v / np.where(norm > 0, norm, 1.0)

    @property
    def _norm_axes(self):
        return tuple(axis for axis, n in enumerate(self.g.shape) if n == 1)

    def other_axes(self, kernel: Kernel) -> tuple[int, ...] | None:
        """The axes of the stored norm if the layer's norm has other axes, or None.

        They are the `axis` of the layer that would keep v and g.
        """
        same = self.g is None or (
            self.g.shape == _lengths(kernel) and kernel.gain_axes == kernel.fan_in
        )
        return None if same else self._norm_axes

    def assignments(
        self,
        layer: keras.layers.Layer,
        kernel: Kernel,
        gain: Gain | None,
        as_direction: bool = False,
    ) -> Assignments:
        """The assignments that make `w` the weight of a layer.

        v and g are assigned as they are stored if the layer's norm has the same axes.

        Args:
            layer: Keras layer that normalizes the kernel, or a plain layer.
            kernel: Its `Kernel`.
            gain: Its `Gain`. None in the strict form, and in a plain layer.
            as_direction: Boolean, whether a plain weight becomes v in the strict form.

        Returns:
            `Assignments`.

        Raises:
            ValueError: If the shape differs, or if the layer cannot hold the weight.
        """
        shape = tuple(kernel.variable.shape)
        if self.v.shape != shape:
            raise ValueError(
                f"Layer '{layer.name}' expected a kernel '{kernel.name}' of shape {shape}. "
                f"Received: {self.v.shape}."
            )
        if id(kernel.variable) not in normalized_kernels(layer):
            return [(kernel.variable, self.w)]
        if as_direction and gain is None and self.g is None:
            return [(kernel.variable, self.v)]
        if kernel.center:
            _check_centered(layer, kernel, self.w)
        v, g = self.v, self.g
        if g is None or self.other_axes(kernel) is not None:
            v = self.w
            g = _gain_of(layer, kernel, v)
            # A zero filter needs a direction in which to leave zero. Its w is 0 as long as g is.
            v = np.where(g == 0, np.random.default_rng(0).normal(size=shape), v)
        if gain is None:
            if not np.allclose(g, 1.0, rtol=1e-5):
                largest = g.flat[np.argmax(np.abs(g - 1))]
                raise ValueError(
                    f"Layer '{layer.name}' has use_gain=False and cannot hold a gain of "
                    f"{largest:.6g}. Allowed: use_gain=True, or as_directions=True for the plain "
                    "weights of a network that normalizes them itself."
                )
            return [(kernel.variable, v)]
        if gain.log:
            # The logarithm needs a positive gain, which the opposite direction has.
            v, g = np.where(g < 0, -v, v), np.abs(g)
        held = gain.held(ops.convert_to_tensor(g.astype(gain.variable.dtype)))
        return [(kernel.variable, v), (gain.variable, ops.convert_to_numpy(held))]


def _check_centered(layer, kernel, w):
    """Raises `ValueError` if the filters of a weight do not sum to 0."""
    along = np.sqrt(np.mean(np.square(w), axis=kernel.fan_in, keepdims=True))
    means = np.mean(w, axis=kernel.fan_in, keepdims=True)
    if not np.all(np.abs(means) <= 1e-4 * along):
        raise ValueError(
            f"Layer '{layer.name}' has center=True and cannot hold a weight whose mean over the "
            f"axes {kernel.fan_in} is not 0. Allowed: center=False."
        )


def _lengths(kernel):
    """The shape of a gain in the kernel's rank: 1 along the axes where it is constant."""
    return tuple(
        1 if axis in kernel.gain_axes else n for axis, n in enumerate(kernel.variable.shape)
    )


def _gain_of(layer, kernel, w):
    """The gain of a weight, of size 1 along the axes where it is constant.

    Raises:
        ValueError: If the layer has one gain for norms that differ.
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
            f"and cannot hold a weight whose norms over the axes {kernel.fan_in} differ along "
            "these. Allowed: weights whose norms are equal there, or gain_axis=None."
        )
    return g


def normalized_kernels(layer: keras.layers.Layer) -> dict[int, tuple[Kernel, Gain | None]]:
    """The kernels that a layer normalizes, with their gains, by `id(kernel.variable)`."""
    if not isinstance(layer, Reparameterized | WeightNormalization):
        return {}
    return {id(kernel.variable): (kernel, gain) for kernel, gain in layer.kernels_and_gains()}


def weights_but_gains(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The weights of a layer that the plain layer has as well, in its order."""
    gains = {
        id(gain.variable) for _, gain in normalized_kernels(layer).values() if gain is not None
    }
    inner = layer.layer if isinstance(layer, WeightNormalization) else layer
    return [variable for variable in inner.weights if id(variable) not in gains]


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A part of a model that has weights of its own.

    Attributes:
        name: Name of the layer. If several layers have this name, it is the path.
        layer: A plain layer, a `WeightNormalization` with the layer in it, a recurrent or
            bidirectional layer with its cells, or a layer around others that has weights of its
            own.
        variables: The weights of the layer. Of a layer around others, its own weights alone.
        path: The path that leads to the layer, as `block_1/conv`. Empty for the model's own
            weights.
    """

    name: str
    layer: keras.layers.Layer
    variables: list[keras.Variable]
    path: str


def named_leaves(model: keras.layers.Layer) -> list[Leaf]:
    """The leaves of a model, each once, in the model's order.

    Args:
        model: Built Keras model or layer.

    Returns:
        List of `Leaf`, without layers that have no weights.
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
    found = [(path, layer, own_variables(layer))]
    # A model's own order is that of its graph.
    for sublayer in layer.layers if isinstance(layer, keras.Model) else layer._layers:
        found += _leaves(sublayer, (*path, sublayer.name))
    return found


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """Reports a load of weights that another library stored.

    Attributes:
        loaded: Dict from the name of each loaded layer to the name that its weights were stored
            under.
        other_axes: Dict from the name of a layer whose norm has other axes than the stored norm to
            the `axis` of `keras_wn.layers.WeightNormalization` that keeps v and g as they are
            stored. The weight w of the layer is the same in any case.
        missing: Names of the model's layers into which nothing was loaded, and `layer/weight` for
            weights that a layer lacks.
        unexpected: Names of stored weights that were not loaded.
    """

    loaded: dict[str, str]
    other_axes: dict[str, tuple[int, ...]]
    missing: list[str]
    unexpected: list[str]

    def warn_of_other_axes(self, caller: str) -> None:
        """Warns, once for all layers, of layers whose v and g are not the stored ones."""
        if self.other_axes:
            listed = ", ".join(f"'{name}': axis={axis}" for name, axis in self.other_axes.items())
            warnings.warn(
                f"{caller}: w is the same, but v and g are new where the stored norm has other "
                "axes than the layer's. To keep v and g, use "
                f"keras_wn.layers.WeightNormalization(layer, axis=...) there with {{{listed}}}.",
                stacklevel=3,
            )


def assign(assignments: Iterable[tuple[keras.Variable, Any]]) -> None:
    """Assigns each array to its variable: all of them or, with an error, none."""
    converted = [
        (variable, ops.convert_to_tensor(np.asarray(value, "float64"), variable.dtype))
        for variable, value in assignments
    ]
    for variable, value in converted:
        variable.assign(value)
