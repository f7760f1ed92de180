"""Checks the arguments of `WeightNormalization`, and finds the weights inside its layer."""

import collections
import inspect
import itertools
import operator
import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras.src import backend  # Not exported by Keras, nor are the next three.
from keras.src.backend.common.global_state import get_global_attribute
from keras.src.utils import naming
from keras.src.utils.python_utils import is_default

from keras_wn.layers.kernels import Kernel, kernels_of, own_variables


def checked_axis(argument: str, axis: int | Sequence[int] | None) -> int | tuple[int, ...] | None:
    """Returns the value of `axis` or `gain_axis` as Python integers.

    Args:
        argument: Name of the argument, for the message.
        axis: Its value.

    Raises:
        ValueError: If the value is not an integer, a tuple of at least one integer, or `None`.
    """
    if axis is None:
        return None
    try:
        if np.iterable(axis):
            axes = tuple(operator.index(a) for a in axis)
        else:
            axes = operator.index(axis)
    except TypeError:
        axes = ()
    if axes == ():
        raise ValueError(
            f"WeightNormalization: {argument}={axis!r} is not allowed. "
            "Allowed: an integer, a tuple of them, or None."
        )
    return axes


def checked_names(weights: Sequence[str] | None) -> list[str] | None:
    """Returns the argument `weights` as a list of names.

    Raises:
        ValueError: If it is neither a list of at least one name nor `None`.
    """
    if weights is None:
        return None
    is_text = isinstance(weights, str)
    if is_text or not weights or not all(isinstance(name, str) for name in weights):
        raise ValueError(
            f"WeightNormalization: weights={weights!r} is not allowed. Allowed: a list of the "
            "names of weights, as ['recurrent_kernel'], or None."
        )
    return list(weights)


def given_name(layer: keras.layers.Layer) -> str | None:
    """Returns the name that was given to a layer, or `None` if Keras derived it from the class."""
    number = automatic_number(layer)
    if number is None:
        return layer.name
    # A layer that was made just now has the last of Keras' automatic names, which count from 0.
    counts = get_global_attribute("object_name_uids") or {}
    is_last = number == counts.get(naming.to_snake_case(type(layer).__name__), 0) - 1
    return None if is_last else layer.name


def automatic_number(layer: keras.layers.Layer) -> int | None:
    """Returns the number of a name such as Keras derives from the class, or `None` for others."""
    automatic = naming.to_snake_case(type(layer).__name__)
    found = re.fullmatch(rf"{re.escape(automatic)}(_(\d+))?", layer.name)
    return None if found is None else int(found[2] or 0)


def is_built(layer: keras.layers.Layer) -> bool:
    """Whether a layer and its sublayers are built.

    When Keras loads a file, it marks a layer as built before its sublayers are.
    """
    return all(sublayer.built for sublayer in layer._flatten_layers())


def build_by_call(layer: keras.layers.Layer, *args, **kwargs) -> None:
    """Builds the sublayers of a layer that has no `build` of its own, by calling it symbolically.

    Args:
        layer: Keras layer.
        *args: Shapes of the positional arguments of its `call`. Keras' default `build` would
            ignore them.
        **kwargs: Shapes of its keyword arguments.
    """
    if is_default(layer.build):
        args, kwargs = keras.tree.map_shape_structure(keras.KerasTensor, (args, kwargs))
        backend.compute_output_spec(layer.call, *args, **kwargs)


def build_from_config(layer: keras.layers.Layer, config: dict[str, Any] | None) -> None:
    """Builds a layer from the `get_build_config` of another layer of its class."""
    if "shapes_dict" in (config or {}):
        shapes = config["shapes_dict"].items()
        build_by_call(layer, **{name.removesuffix("_shape"): shape for name, shape in shapes})
    elif "input_shape" in (config or {}):
        build_by_call(layer, config["input_shape"])
    layer.build_from_config(config)


def shapes_to_build(layer: keras.layers.Layer, *args, **kwargs) -> dict[str, Any]:
    """Returns the shapes of the inputs of a call, under the argument names of the layer's `build`.

    For example, `value_shape` is the shape of the argument `value`.
    """
    call = inspect.signature(layer.call)
    known = {name: value for name, value in kwargs.items() if name in call.parameters}
    arguments = call.bind_partial(*args, **known).arguments
    build_arguments = inspect.signature(layer.build).parameters
    return {
        f"{name}_shape": keras.tree.map_structure(lambda x: tuple(x.shape), value)
        for name, value in arguments.items()
        if f"{name}_shape" in build_arguments and value is not None
    }


def named_kernels(
    layer: keras.layers.Layer,
    weights: Sequence[str] | None = None,
    axis: int | tuple[int, ...] | None = None,
    gain_axis: int | tuple[int, ...] | None = None,
) -> dict[str, Kernel]:
    """Returns the weights of a built layer and of its sublayers that are to be normalized.

    The names are the same in every process. A weight whose name occurs once keeps it. Otherwise
    the names are numbered in order, because the names of sublayers may depend on how many layers
    the process has made before.

    Args:
        layer: Built Keras layer.
        weights: List of names of weights, or of paths as `layer/weight`, whose layers have their
            names or those of the attributes that hold them. `None` stands for all kernels of Keras'
            own layers.
        axis: Integer or tuple, the axes of the norm. `None` stands for those that are known for
            the kernels of Keras' own layers.
        gain_axis: Integer or tuple, the axes along which a gain is constant. `None` stands for
            the axes of the norm.

    Returns:
        Dict from a name to a `Kernel`.

    Raises:
        ValueError: If there is nothing to normalize, if a name is unknown or ambiguous, or if an
            axis is missing or lies outside of a kernel.
    """
    found = []  # Tuples of the layer that owns the weight, its name, its variable, its fan-in.
    has_paths = any("/" in path for path in weights or ())
    places = _places(layer) if has_paths else collections.defaultdict(tuple)
    for sublayer in layer._flatten_layers():
        if hasattr(sublayer, "kernels_and_gains"):
            raise ValueError(
                f"WeightNormalization: layer '{sublayer.name}' is weight-normalized already."
            )
        known = {kernel.name: kernel for kernel in kernels_of(sublayer)}
        found += [(sublayer, k.name, k.variable, k.fan_in) for k in known.values()]
        for path in weights or ():
            name = path.rpartition("/")[2]
            if name not in known and _leads_to(path, places[id(sublayer)]):
                if (variable := _own_weight(sublayer, name)) is not None:
                    found.append((sublayer, name, variable, None))

    def paths_of(owner, name):
        paths = [path for path in weights if path.rpartition("/")[2] == name]
        return [path for path in paths if _leads_to(path, places[id(owner)])]

    if weights is None and not found:
        raise ValueError(_no_known_kernels(layer))
    leading = {path for owner, name, _, _ in found if weights for path in paths_of(owner, name)}
    if missing := [path for path in weights or () if path not in leading]:
        counts = collections.Counter(name for _, name, _, _ in found)
        paths = {f"{owner.name}/{name}" for owner, name, _, _ in found if counts[name] > 1}
        allowed = sorted({*counts, *paths, *_float_weights(layer)})
        raise ValueError(
            f"WeightNormalization: layer '{layer.name}' has no weights {missing}. "
            f"Allowed: {', '.join(allowed)}."
        )
    counts = collections.Counter(name for _, name, _, _ in found)
    numbers = collections.defaultdict(itertools.count)
    kernels, used = {}, {}
    for owner, name, variable, fan_in in found:
        unique = name if counts[name] == 1 else f"{name}_{next(numbers[name])}"
        if weights is None or paths_of(owner, name):
            norm_axes = fan_in if axis is None else _axes("axis", axis, name, variable, layer)
            if norm_axes is None:
                raise ValueError(_no_axis(owner, name, variable))
            if unique in kernels or id(variable) in used:
                other = used.get(id(variable), unique)
                raise ValueError(
                    f"WeightNormalization: '{name}' and '{other}' in weights={weights} are the "
                    f"same weight of layer '{layer.name}', or get the same name. "
                    "Allowed: names that stand for one weight each."
                )
            used[id(variable)] = name
            gain_axes = _axes("gain_axis", gain_axis, name, variable, layer)
            kernels[unique] = Kernel(name, variable, norm_axes, gain_axes)
    return kernels


def _places(layer):
    """Dict from the id of a sublayer to where it is: for each step, the names of a layer.

    A layer has its own name, and that of the attribute that holds it. The names of a layer in a
    list, as in a model, are its own alone.
    """
    places = {id(layer): ()}
    parents = [layer]
    while parents:
        parent = parents.pop()
        for child in parent._layers:
            if id(child) not in places:
                # On PyTorch, layers are kept apart from other attributes.
                attributes = {**vars(parent), **getattr(parent, "_modules", {})}
                held_as = {name for name, value in attributes.items() if value is child}
                places[id(child)] = (*places[id(parent)], {child.name, *held_as})
                parents.append(child)
    return places


def _leads_to(path, place):
    """Whether the layers that a path `layer/weight` names are the last ones of a place."""
    layers = path.split("/")[:-1]
    if len(layers) > len(place):
        return False
    return all(
        name in names for name, names in zip(reversed(layers), reversed(place), strict=False)
    )


def _own_weight(layer, name):
    """Returns the weight of a layer that has this name or is held by this attribute, or `None`.

    Weights of sublayers are not considered.
    """
    held = vars(layer).get(name)
    weights = [v for v in own_variables(layer) if v.name == name or v is held]
    if len(weights) > 1:
        raise ValueError(
            f"WeightNormalization: '{name}' of layer '{layer.name}' is the name of one weight and "
            "the attribute that holds another. Allowed: names that stand for one weight each."
        )
    if weights and not keras.backend.is_float_dtype(weights[0].dtype):
        raise ValueError(
            f"WeightNormalization: '{name}' of layer '{layer.name}' is of {weights[0].dtype}. "
            "Allowed: weights of floats."
        )
    return weights[0] if weights else None


def _float_weights(layer):
    """Returns a dict from names to shapes of the weights that a layer could normalize."""
    own = [v for sublayer in layer._flatten_layers() for v in own_variables(sublayer)]
    return {
        v.name: tuple(v.shape)
        for v in own
        if keras.backend.is_float_dtype(v.dtype) and len(v.shape) > 0
    }


def _no_known_kernels(layer):
    message = (
        f"WeightNormalization: layer '{layer.name}' ({type(layer).__name__}) has no kernels to "
        "normalize that are known. "
    )
    weights = _float_weights(layer)
    if not weights:
        return f"{message}Allowed: layers with weights of floats."
    listed = ", ".join(f"'{name}' of shape {shape}" for name, shape in weights.items())
    return (
        f"{message}Allowed: to name some of its weights and the axes of their norm, as "
        f"WeightNormalization(layer, weights=['kernel'], axis=0). It has {listed}."
    )


def _no_axis(layer, name, variable):
    return (
        f"WeightNormalization: which axes of '{name}', of shape {tuple(variable.shape)}, the norm "
        f"runs over is not known of layer '{layer.name}' ({type(layer).__name__}). Allowed: "
        f"axis=..., as in WeightNormalization(layer, weights=['{name}'], axis=0), one norm for "
        "each entry of the other axes."
    )


def _axes(argument, axis, name, variable, layer):
    """Returns the axes of a weight as a sorted tuple of non-negative numbers, or `None`."""
    if axis is None:
        return None
    rank = len(variable.shape)
    axes = (axis,) if isinstance(axis, int) else axis
    if not all(-rank <= a < rank for a in axes):
        raise ValueError(
            f"WeightNormalization: {argument}={axis} lies outside kernel '{name}' of layer "
            f"'{layer.name}', of rank {rank}. Allowed: {-rank} to {rank - 1}."
        )
    return tuple(sorted({a % rank for a in axes}))
