"""Finds the layers of a model that weight normalization is about, and those among them that were asked for."""

import inspect

from keras_wn.layers import WeightNormalization
from keras_wn.layers.kernels import kernels_of
from keras_wn.layers.reparameterized import Reparameterized


def is_normalized_layer(layer):
    """Whether a layer is weight-normalized itself."""
    return isinstance(layer, Reparameterized | WeightNormalization)


def has_kernels(layer):
    """Whether a plain layer has kernels of its own."""
    return not is_normalized_layer(layer) and bool(layer.built and kernels_of(layer))


def units(layer):
    """The weight-normalized layers and the plain ones with kernels that a layer consists of, itself or its sublayers.

    What is inside of a `WeightNormalization` belongs to it.
    """
    if is_normalized_layer(layer) or has_kernels(layer):
        return [layer]
    return [unit for sublayer in layer._layers for unit in units(sublayer)]


def selected(caller, model, layers, is_candidate):
    """Function that says of a layer whether it was asked for.

    Args:
        caller: Name of the function that asks, for its errors.
        model: Keras model.
        layers: A name, a class, a function from a layer to a boolean, or a list of names and classes; None for all. What is said of a
            layer around others is said of all in it.
        is_candidate: Function that says of a unit whether there is anything to do with it.

    Raises:
        ValueError: If an item is none of these, or selects no candidate.
    """
    if layers is None:
        return lambda layer: True
    every = [layer for layer in model._flatten_layers()]
    chosen = set()
    for item in layers if isinstance(layers, list | tuple | set) else [layers]:
        matches = _matching(caller, item)
        found = [part for layer in every if matches(layer) for part in layer._flatten_layers()]
        if not any(is_candidate(part) for part in found):
            allowed = sorted({unit.name for unit in units(model) if is_candidate(unit)})
            raise ValueError(
                f"{caller}: layers={item!r} selects no such layer of model '{model.name}'. Allowed: {', '.join(allowed) or 'none'}, a "
                "layer or model around one of them, its class, or a function that is true of it."
            )
        chosen |= {id(part) for part in found}
    return lambda layer: id(layer) in chosen


def _matching(caller, item):
    if isinstance(item, str):
        return lambda layer: layer.name == item
    if inspect.isclass(item):
        return lambda layer: isinstance(layer, item)
    if callable(item):
        return item
    raise ValueError(
        f"{caller}: layers={item!r} is not allowed. Allowed: names, classes, a function from a layer to a boolean, or None."
    )
