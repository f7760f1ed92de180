"""Finds the layers that the attributes of a container hold, and replaces them.

A container is a subclassed model, or a layer around other layers. Its attributes hold layers alone,
or in lists, tuples and dicts.
"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.layers import Layer


def replace(new_owner: Layer, owner: Layer, built_clone: Callable[[Layer], Layer]) -> None:
    """Sets the attributes of a container that hold layers to clones of another container's.

    Args:
        new_owner: The container whose attributes are set. It may be `owner` itself.
        owner: The container whose attributes hold the layers.
        built_clone: Function from a layer to the built one that takes its place.

    Raises:
        ValueError: If a layer with weights is in no attribute.
    """
    clones, layers = {}, list(owner._layers)

    def clone(layer):
        clones[id(layer)] = built_clone(layer)
        return clones[id(layer)]

    tracker = new_owner._tracker
    tracker.unlock()
    for name, value in _attributes_with_layers(owner):
        for layer in layers_in(getattr(new_owner, name, None)):
            tracker.untrack(layer)
        setattr(new_owner, name, with_layers(value, clone))
    tracker.lock()
    # Lists of weights, and files that are read in order, give weights to layers by this order.
    in_order = [clones[id(layer)] for layer in layers if id(layer) in clones]
    known = {id(layer) for layer in in_order}
    new_owner._layers[:] = [
        *in_order,
        *(layer for layer in new_owner._layers if id(layer) not in known),
    ]
    for layer in layers:
        if layer.weights and id(layer) not in clones:
            raise ValueError(cannot_be_replaced(owner, layer))


def _attributes_with_layers(owner):
    """Pairs of the name and the value of the attributes of a container that hold layers."""
    keras_own = vars(keras.Model() if isinstance(owner, keras.Model) else keras.layers.Layer())
    # On PyTorch, layers are kept apart from other attributes.
    names = [*vars(owner), *getattr(owner, "_modules", {})]
    # Names that start with _self_ are TensorFlow's.
    names = [name for name in names if name not in keras_own and not name.startswith("_self_")]
    found = [(name, getattr(owner, name)) for name in names]
    return [(name, value) for name, value in found if list(layers_in(value))]


def held_layers(owner: Layer) -> list[Layer]:
    """The layers that the attributes of a container hold, each as often as it is held."""
    return [layer for _, value in _attributes_with_layers(owner) for layer in layers_in(value)]


def cannot_be_replaced(owner: Layer, layer: Layer) -> str:
    """The message about a layer of a container that is in no attribute."""
    return (
        f"'{owner.name}' ({type(owner).__name__}) holds layer '{layer.name}' in a way that cannot "
        "be replaced. Allowed: layers that are attributes, alone or in lists, tuples and dicts."
    )


def layers_in(value: Any) -> Iterator[Layer]:
    """The layers in a value: itself, or those in its lists, tuples and dicts at any depth."""
    value = _unwrapped(value)
    if isinstance(value, keras.layers.Layer):
        yield value
    elif isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from layers_in(item)


def with_layers(value: Any, new_of: Callable[[Layer], Layer]) -> Any:
    """The value with `new_of` each layer in place of the layer, in new lists, tuples and dicts."""
    value = _unwrapped(value)
    if isinstance(value, keras.layers.Layer):
        return new_of(value)
    if isinstance(value, dict):
        return {key: with_layers(item, new_of) for key, item in value.items()}
    if isinstance(value, list):
        return [with_layers(item, new_of) for item in value]
    if isinstance(value, tuple):
        items = [with_layers(item, new_of) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return value


def _unwrapped(value):
    """A value without TensorFlow's wrapper of tuples."""
    return getattr(value, "__wrapped__", value)
