"""Private parts of `WeightNormalization`: its arguments, and the kernels inside a layer."""

import collections
import inspect
import itertools
import operator

import keras
import numpy as np

from keras_wn.layers.kernels import Kernel, kernels_of


def checked_axis(axis):
    if axis is None:
        return None
    try:
        return operator.index(axis) if not np.iterable(axis) else tuple(operator.index(a) for a in axis)
    except TypeError:
        raise ValueError(
            f"WeightNormalization: axis={axis!r} is not allowed. Allowed: an integer, a tuple of them, or None."
        ) from None


def checked_names(weights):
    if weights is None:
        return None
    if isinstance(weights, str) or not weights or not all(isinstance(name, str) for name in weights):
        raise ValueError(
            f"WeightNormalization: weights={weights!r} is not allowed. Allowed: a list of kernel names, as ['recurrent_kernel'], or None."
        )
    return list(weights)


def named_kernels(layer):
    """Kernels of a built layer and its sublayers, by names that are the same in every process.

    A name that occurs once stays as it is; others are numbered, since the names of sublayers may be numbered by the process.
    """
    found = []
    for sublayer in layer._flatten_layers():
        if hasattr(sublayer, "kernels_and_gains"):
            raise ValueError(f"WeightNormalization: layer '{sublayer.name}' is weight-normalized already.")
        found += kernels_of(sublayer)
    counts = collections.Counter(kernel.name for kernel in found)
    numbers = collections.defaultdict(itertools.count)
    return {
        kernel.name if counts[kernel.name] == 1 else f"{kernel.name}_{next(numbers[kernel.name])}": kernel
        for kernel in found
    }


def shapes_to_build(layer, *args, **kwargs):
    """Shapes of a call's inputs by the names that the layer's `build` has for them: `value_shape` for `value`."""
    call = inspect.signature(layer.call)
    given = call.bind_partial(
        *args, **{name: value for name, value in kwargs.items() if name in call.parameters}
    ).arguments
    wanted = inspect.signature(layer.build).parameters
    return {
        f"{name}_shape": keras.tree.map_structure(lambda x: tuple(x.shape), value)
        for name, value in given.items()
        if f"{name}_shape" in wanted and value is not None
    }


def with_axis(kernel, axis, owner):
    """The kernel with its norm over `axis`; as it is with None."""
    if axis is None:
        return kernel
    rank = len(kernel.variable.shape)
    axes = (axis,) if isinstance(axis, int) else axis
    if not all(-rank <= a < rank for a in axes):
        raise ValueError(
            f"WeightNormalization: axis={axis} lies outside kernel '{kernel.name}' of layer '{owner}', "
            f"of rank {rank}. Allowed: {-rank} to {rank - 1}."
        )
    return Kernel(kernel.name, kernel.variable, tuple(sorted({a % rank for a in axes})))
