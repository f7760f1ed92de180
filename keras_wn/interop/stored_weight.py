"""A weight as another library stored it, and where it goes in a layer of ours."""

import dataclasses

import numpy as np
from keras import ops

from keras_wn.layers import WeightNormalization
from keras_wn.layers.kernels import kernels_of
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

    def assignments(self, layer, kernel, gain):
        """What to assign so that the layer's weight is `w`: v and g as they are stored where the layer's norm has the same axes.

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
                f"Layer '{layer.name}' expected a kernel '{kernel.name}' of shape {shape}. Received: {self.v.shape}."
            )
        if not is_normalized(layer, kernel):
            return [(kernel.variable, self.w)]
        v, g = self.v, self.g
        lengths = tuple(1 if axis in kernel.fan_in else n for axis, n in enumerate(shape))
        if g is None or g.shape != lengths:
            v = self.w
            g = np.sqrt(np.sum(np.square(v), axis=kernel.fan_in, keepdims=True))
            # A zero filter needs a direction to leave zero by; w is 0 while its gain is.
            v = np.where(g == 0, np.random.default_rng(0).normal(size=shape), v)
        if gain is None:
            if not np.allclose(g, 1.0, rtol=1e-5):
                raise ValueError(
                    f"Layer '{layer.name}' has use_gain=False and cannot hold a gain of {g.flat[np.argmax(np.abs(g - 1))]:.6g}. "
                    "Allowed: use_gain=True."
                )
            return [(kernel.variable, v)]
        if gain.log:
            # A positive gain of the opposite direction.
            v, g = np.where(g < 0, -v, v), np.abs(g)
        held = gain.held(ops.convert_to_tensor(g.astype(gain.variable.dtype)))
        return [(kernel.variable, v), (gain.variable, ops.convert_to_numpy(held))]


def is_normalized(layer, kernel):
    """Whether a kernel is one that its layer normalizes."""
    return id(kernel.variable) in normalized_kernels(layer)


def normalized_kernels(layer):
    """Dict from `id(variable)` of a kernel that the layer normalizes to the kernel and its gain; empty of a plain layer."""
    if not isinstance(layer, Reparameterized | WeightNormalization):
        return {}
    return {id(kernel.variable): (kernel, gain) for kernel, gain in layer.kernels_and_gains()}


def weights_but_gains(layer):
    """What the plain layer has of a layer's weights."""
    gains = {id(gain.variable) for _, gain in normalized_kernels(layer).values() if gain is not None}
    return [variable for variable in inner_of(layer).weights if id(variable) not in gains]


def inner_of(layer):
    """The layer that has the kernels: the one in the wrapper, or the layer itself."""
    return layer.layer if isinstance(layer, WeightNormalization) else layer


def kernels_and_gains_of(layer):
    """All kernels of a layer that is no container, each with its gain or None, the axes of the norm as the layer has them."""
    normalized = normalized_kernels(layer)
    return [normalized.get(id(kernel.variable), (kernel, None)) for kernel in kernels_of(inner_of(layer))]


def leaves(model):
    """Layers of a model that have weights, each once, in the model's order; a layer in a `WeightNormalization` goes with it."""
    found = []
    for layer in model.layers if hasattr(model, "layers") else model._layers:
        inner = inner_of(layer)
        if kernels_of(inner) or not inner._layers:
            found += [layer] if layer.weights else []
        else:
            found += leaves(inner) if layer is inner else [layer]
    return list({id(layer): layer for layer in found}.values())


def assign(assignments):
    """Assigns each array to its variable: all of them or, with an error, none."""
    converted = [
        (variable, ops.convert_to_tensor(np.asarray(value, "float64"), variable.dtype))
        for variable, value in assignments
    ]
    for variable, value in converted:
        variable.assign(value)
