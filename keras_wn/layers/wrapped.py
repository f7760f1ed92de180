"""Private parts of `WeightNormalization`: its arguments, and the kernels inside a layer."""

import collections
import inspect
import itertools
import operator
import re

import keras
import numpy as np
from keras.src import backend  # Not exported by Keras, nor are the next two.
from keras.src.utils import naming
from keras.src.utils.python_utils import is_default

from keras_wn.layers.kernels import Kernel, kernels_of
from keras_wn.layers.named_variables import own_variables


def checked_axis(argument, axis):
    if axis is None:
        return None
    try:
        axes = operator.index(axis) if not np.iterable(axis) else tuple(operator.index(a) for a in axis)
    except TypeError:
        axes = ()
    if axes == ():
        raise ValueError(
            f"WeightNormalization: {argument}={axis!r} is not allowed. Allowed: an integer, a tuple of them, or None."
        )
    return axes


def checked_names(weights):
    if weights is None:
        return None
    if isinstance(weights, str) or not weights or not all(isinstance(name, str) for name in weights):
        raise ValueError(
            f"WeightNormalization: weights={weights!r} is not allowed. Allowed: a list of the names of weights, as "
            "['recurrent_kernel'], or None."
        )
    return list(weights)


def is_built(layer):
    """Whether a layer and its sublayers are built. Of one that is read from a file Keras says so before its sublayers are."""
    return all(sublayer.built for sublayer in layer._flatten_layers())


def build_by_call(layer, *args, **kwargs):
    """Lets a layer without a `build` of its own build its sublayers, which is done by calling it.

    Args:
        layer: Keras layer.
        *args, **kwargs: Shapes of what its `call` takes, of which Keras' default `build` would make nothing.
    """
    if is_default(layer.build):
        args, kwargs = keras.tree.map_shape_structure(keras.KerasTensor, (args, kwargs))
        backend.compute_output_spec(layer.call, *args, **kwargs)


def build_from_config(layer, config):
    """Builds a layer by the `get_build_config` of another of its class."""
    if "shapes_dict" in (config or {}):
        build_by_call(layer, **{name.removesuffix("_shape"): shape for name, shape in config["shapes_dict"].items()})
    elif "input_shape" in (config or {}):
        build_by_call(layer, config["input_shape"])
    layer.build_from_config(config)


def given_name(layer):
    """The name that was given to a layer; None where Keras made it from the name of the class."""
    automatic = naming.to_snake_case(type(layer).__name__)
    return None if re.fullmatch(rf"{re.escape(automatic)}(_\d+)?", layer.name) else layer.name


def one_or_all(by_name):
    return next(iter(by_name.values())) if len(by_name) == 1 else by_name


def named_kernels(layer, weights=None, axis=None, gain_axis=None):
    """Weights of a built layer and its sublayers that are to be normalized, by names that are the same in every process.

    A name that occurs once stays as it is; others are numbered, since the names of sublayers may be numbered by the process.

    Args:
        layer: Built Keras layer.
        weights: List of names, of kernels of Keras' layers or of any weights; None for all kernels of Keras' layers.
        axis: Integer or tuple, axes of the norm; None for those that the kernels of Keras' layers have.
        gain_axis: Integer or tuple, axes along which a gain is constant; None for those of the norm.

    Returns:
        Dict from a name to a `Kernel`.

    Raises:
        ValueError: If there is nothing to normalize, if a name is not there, or if an axis is missing or outside.
    """
    found = []
    for sublayer in layer._flatten_layers():
        if hasattr(sublayer, "kernels_and_gains"):
            raise ValueError(f"WeightNormalization: layer '{sublayer.name}' is weight-normalized already.")
        known = {kernel.name: kernel for kernel in kernels_of(sublayer)}
        found += [(sublayer, kernel.name, kernel.variable, kernel.fan_in) for kernel in known.values()]
        others = [name for name in weights or () if name not in known]
        found += [(sublayer, name, v, None) for name in others if (v := _own_weight(sublayer, name)) is not None]
    if weights is None and not found:
        raise ValueError(_without_known_kernels(layer))
    names = {name for _, name, _, _ in found}
    if missing := [name for name in weights or () if name not in names]:
        allowed = sorted(names | set(_float_weights(layer)))
        raise ValueError(
            f"WeightNormalization: layer '{layer.name}' has no weights {missing}. Allowed: {', '.join(allowed)}."
        )
    counts = collections.Counter(name for _, name, _, _ in found)
    numbers = collections.defaultdict(itertools.count)
    kernels, used = {}, {}
    for owner, name, variable, fan_in in found:
        unique = name if counts[name] == 1 else f"{name}_{next(numbers[name])}"
        if weights is None or name in weights:
            norm_axes = fan_in if axis is None else _axes("axis", axis, name, variable, layer)
            if norm_axes is None:
                raise ValueError(_without_axis(owner, name, variable))
            if unique in kernels or id(variable) in used:
                other = used.get(id(variable), unique)
                raise ValueError(
                    f"WeightNormalization: '{name}' and '{other}' in weights={weights} are the same weight of layer '{layer.name}', or get "
                    "the same name. Allowed: names that are each one weight's."
                )
            used[id(variable)] = name
            gain_axes = _axes("gain_axis", gain_axis, name, variable, layer)
            kernels[unique] = Kernel(name, variable, norm_axes, gain_axes)
    return kernels


def _own_weight(layer, name):
    """The weight of a layer, not of its sublayers, that has this name or is held by this attribute; None without."""
    held = vars(layer).get(name)
    weights = [v for v in own_variables(layer) if v.name == name or v is held]
    if len(weights) > 1:
        raise ValueError(
            f"WeightNormalization: '{name}' of layer '{layer.name}' is the name of one weight and the attribute that holds another. "
            "Allowed: names that are each one weight's."
        )
    if weights and not keras.backend.is_float_dtype(weights[0].dtype):
        raise ValueError(
            f"WeightNormalization: '{name}' of layer '{layer.name}' is of {weights[0].dtype}. Allowed: weights of floats."
        )
    return weights[0] if weights else None


def _float_weights(layer):
    """Name -> shape of the weights that a layer could be asked to normalize."""
    own = [v for sublayer in layer._flatten_layers() for v in own_variables(sublayer)]
    return {v.name: tuple(v.shape) for v in own if keras.backend.is_float_dtype(v.dtype) and len(v.shape) > 0}


def _without_known_kernels(layer):
    message = f"WeightNormalization: layer '{layer.name}' ({type(layer).__name__}) has no kernels to normalize that are known. "
    listed = ", ".join(f"'{name}' of shape {shape}" for name, shape in _float_weights(layer).items())
    if not listed:
        return f"{message}Allowed: layers with weights of floats."
    return (
        f"{message}Allowed: to name some of its weights and the axes of their norm, as "
        f"WeightNormalization(layer, weights=['kernel'], axis=0). It has {listed}."
    )


def _without_axis(layer, name, variable):
    return (
        f"WeightNormalization: which axes of '{name}', of shape {tuple(variable.shape)}, the norm runs over is not known of layer "
        f"'{layer.name}' ({type(layer).__name__}). Allowed: axis=..., as in WeightNormalization(layer, weights=['{name}'], axis=0), one "
        "norm for each entry of the other axes."
    )


def _axes(argument, axis, name, variable, layer):
    """The axes of a weight as a tuple of numbers from 0; None of None."""
    if axis is None:
        return None
    rank = len(variable.shape)
    axes = (axis,) if isinstance(axis, int) else axis
    if not all(-rank <= a < rank for a in axes):
        raise ValueError(
            f"WeightNormalization: {argument}={axis} lies outside kernel '{name}' of layer '{layer.name}', "
            f"of rank {rank}. Allowed: {-rank} to {rank - 1}."
        )
    return tuple(sorted({a % rank for a in axes}))


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
