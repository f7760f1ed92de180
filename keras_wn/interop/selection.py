"""Finds the layers of a model that have kernels, chooses among them, and reads their scales."""

import inspect
from typing import Any

import keras

from keras_wn.layers import JoinWeights, WeightNormalization
from keras_wn.layers.kernels import is_known
from keras_wn.layers.reparameterized import OutputScaled, Reparameterized


def is_normalized_layer(layer):
    """Whether a layer is weight-normalized itself."""
    return isinstance(layer, Reparameterized | WeightNormalization)


def has_kernels(layer):
    """Whether a plain layer has kernels of its own."""
    return not is_normalized_layer(layer) and layer.built and is_known(layer)


def units(layer):
    """The layers with kernels that a layer consists of, weight-normalized and plain ones.

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
        layers: A name, a class, a function from a layer to a boolean, or a list of names and
            classes; None for all. A name or class of a container selects all that is in it. A
            function is not asked of models and of the user's own containers: `layer.trainable`, for
            example, is true of them whether or not it is of what they hold.
        is_candidate: Function that says of a unit whether there is anything to do with it.

    Raises:
        ValueError: If an item is none of these, or selects no candidate.
    """
    if layers is None:
        return lambda layer: True
    chosen = set()
    items = list(layers) if isinstance(layers, list | tuple | set) else [layers]
    if not items:
        raise ValueError(
            f"{caller}: layers={layers!r} selects no layer. Allowed: at least one name or class, "
            "or None for all."
        )
    for item in items:
        matches = _matching(caller, item)
        found = [
            part
            for layer in model._flatten_layers()
            if matches(layer)
            for part in layer._flatten_layers()
        ]
        if not any(is_candidate(part) for part in found):
            allowed = sorted({unit.name for unit in units(model) if is_candidate(unit)})
            raise ValueError(
                f"{caller}: layers={item!r} selects no such layer of model '{model.name}'. "
                f"Allowed: {', '.join(allowed) or 'none'}, a "
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
        return lambda layer: not _is_own_container(layer) and item(layer)
    raise ValueError(
        f"{caller}: layers={item!r} is not allowed. Allowed: names, classes, a function from a "
        "layer to a boolean, or None."
    )


def _is_own_container(layer):
    from_elsewhere = type(layer).__module__.partition(".")[0] not in ("keras", "keras_wn")
    return isinstance(layer, keras.Model) or (from_elsewhere and bool(layer._layers))


def call_scale(layer: keras.Layer) -> Any:
    """The value of the `scale` with which a functional model calls a layer, or None.

    Raises:
        ValueError: If the scale differs between calls, or if it may depend on the input because it
            is neither a constant nor from `JoinWeights`.
    """
    if not isinstance(layer, OutputScaled):
        return None
    # A functional model has a node for each call, and a subclassed one has none.
    scales = [node.arguments.kwargs.get("scale") for node in layer._inbound_nodes]
    if all(scale is None for scale in scales):
        return None
    if any(scale is not scales[0] for scale in scales):
        raise ValueError(
            f"Layer '{layer.name}' is called with several scales. Allowed: the same in all calls."
        )
    if not isinstance(scales[0], keras.KerasTensor):
        return scales[0]
    origin = scales[0]._keras_history
    if not isinstance(origin.operation, JoinWeights):
        raise ValueError(
            f"Layer '{layer.name}' takes its scale from '{origin.operation.name}' "
            f"({type(origin.operation).__name__}). "
            "Allowed: JoinWeights, whose outputs do not depend on the input, and constants."
        )
    return origin.operation.values()[origin.tensor_index]
