"""Finds the layers of a model that the user chooses, and the scales that layers take."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import keras
from keras.layers import Layer

from keras_wn.layers import JoinWeights, SharedGain, WeightNormalization
from keras_wn.layers.kernels import is_known
from keras_wn.layers.reparameterized import OutputScaled, Reparameterized


def is_normalized_layer(layer: Layer) -> bool:
    """Whether a layer is weight-normalized itself."""
    return isinstance(layer, Reparameterized | WeightNormalization)


def has_kernels(layer: Layer) -> bool:
    """Whether a plain layer has kernels of its own."""
    return not is_normalized_layer(layer) and layer.built and is_known(layer)


def units(layer: Layer) -> list[Layer]:
    """The weight-normalized layers and the plain layers with kernels in a layer, or itself.

    The layers inside of a `WeightNormalization` belong to it, and are no units.
    """
    if is_normalized_layer(layer) or has_kernels(layer):
        return [layer]
    return [unit for sublayer in layer._layers for unit in units(sublayer)]


def selected(
    caller: str, model: Layer, layers: Any, candidates: Iterable[Layer]
) -> Callable[[Layer], bool]:
    """The function that tells whether the user chose a layer.

    Args:
        caller: Name of the function that asks, for its errors.
        model: Keras model or layer.
        layers: A name, a class, a function from a layer to a boolean, or a list of names and
            classes. None chooses all. The name or class of a container chooses all layers in it. A
            function is not called with models and with the user's own containers, because
            `layer.trainable`, for example, is true of a container even if its layers are frozen.
        candidates: The layers of the model that can be chosen.

    Raises:
        ValueError: If an item is none of these, or chooses no candidate.
    """
    if layers is None:
        return lambda layer: True
    by_id = {id(layer): layer for layer in candidates}
    chosen = set()
    items = list(layers) if isinstance(layers, list | tuple | set) else [layers]
    if not items:
        raise ValueError(
            f"{caller}: layers={layers!r} selects no layer. "
            "Allowed: at least one name or class, or None for all."
        )
    for item in items:
        matches = _matching(caller, item)
        found = {
            id(part)
            for layer in model._flatten_layers()
            if matches(layer)
            for part in layer._flatten_layers()
        }
        if found.isdisjoint(by_id):
            allowed = sorted({layer.name for layer in by_id.values()})
            raise ValueError(
                f"{caller}: layers={item!r} selects no such layer of model '{model.name}'. "
                f"Allowed: {', '.join(allowed) or 'none'}, a layer or model around one of them, "
                "its class, or a function that is true of it."
            )
        chosen |= found
    return lambda layer: id(layer) in chosen


def _matching(caller, item):
    if isinstance(item, str):
        return lambda layer: layer.name == item
    if inspect.isclass(item):
        return lambda layer: isinstance(layer, item)
    if callable(item):
        return lambda layer: not _is_own_container(layer) and item(layer)
    raise ValueError(
        f"{caller}: layers={item!r} is not allowed. "
        "Allowed: names, classes, a function from a layer to a boolean, or None."
    )


def _is_own_container(layer):
    from_elsewhere = type(layer).__module__.partition(".")[0] not in ("keras", "keras_wn")
    return isinstance(layer, keras.Model) or (from_elsewhere and bool(layer._layers))


def call_scale(layer: Layer) -> Any:
    """The value of the `scale` that a layer of a functional model is called with, or None.

    Raises:
        ValueError: If it is not the same in all calls, or is neither a constant nor an output of
            `JoinWeights` or of `SharedGain`. It may then depend on the input.
    """
    if not isinstance(layer, OutputScaled):
        return None
    # A graph has a node for each call, and subclassed models have none.
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
    if not isinstance(origin.operation, JoinWeights | SharedGain):
        raise ValueError(
            f"Layer '{layer.name}' takes its scale from '{origin.operation.name}' "
            f"({type(origin.operation).__name__}). Allowed: JoinWeights and SharedGain, whose "
            "outputs do not depend on the input, and constants."
        )
    values = origin.operation.values()
    return values[origin.tensor_index] if isinstance(values, tuple) else values
