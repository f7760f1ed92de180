"""Puts weight normalization on the kernels of an existing model."""

from typing import Any

import keras

from keras_wn import layers as layers_of_ours
from keras_wn.interop.rebuild import copy_of, copy_state, rebuild
from keras_wn.interop.stored_weight import (
    Assignments,
    StoredWeight,
    assign,
    normalized_kernels,
    weights_but_gains,
)
from keras_wn.layers.kernels import kernels_of
from keras_wn.layers.selection import has_kernels, is_normalized_layer, selected, units
from keras_wn.layers.wrapped import build_from_config

# Maps a plain Keras class to its weight-normalized subclass.
SUBCLASSES = {
    getattr(keras.layers, name.removeprefix("WN")): getattr(layers_of_ours, name)
    for name in layers_of_ours.__all__
    if name.startswith("WN")
}


def weight_norm(model: keras.Model, layers: Any = None) -> keras.Model:
    """A copy of a model with weight normalization on its kernels, and the same outputs.

    `w = g v / ||v||` with `v = w` and `g = ||w||`. Layers with kernels of their own become
    `WNDense`, `WNConv2D` and so on. Recurrent layers, attention and other layers around kernels
    become `WeightNormalization(layer)`. The rest is copied.

    Args:
        model: Built Keras model, which may hold other models. It is left as it is. In a subclassed
            model, the layers that are its attributes are normalized, alone or in lists and dicts. A
            file of such a model loads into `weight_norm(Model())` by `load_weights`.
        layers: The layers to normalize: a name, a class, a function from a layer to a boolean, or a
            list of names and classes. The name or class of a model or of a layer around others
            stands for all layers in it. A function is not called with models and with your own
            layers around others. None: all layers that have kernels.

    Returns:
        Keras model of the same kind and name, and of the same class if it is a subclass of
        functional models whose `from_config` gives the class back; if not, a warning says so. If
        `model` is compiled, so is this one, with a new optimizer; or it is left uncompiled with a
        warning if Keras cannot make its loss or metrics again. A filter that is zero gets g = 0 and
        a random v, because it could not leave zero otherwise.

    Raises:
        ValueError: If the model is not built or has no kernels, if `layers` selects none, if it
            selects some but not all of the kernels of one of Keras' layers around others, such as
            attention, or if the model is a subclassed one that Keras cannot make again from its
            `get_config` (wrap it: `WeightNormalization(model)`).

    Example:

    >>> import numpy as np, keras, keras_wn
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu")])
    >>> normalized = keras_wn.weight_norm(model)
    >>> type(normalized.layers[0]).__name__
    'WNDense'
    >>> x = np.ones((1, 4))
    >>> bool(np.allclose(normalized(x), model(x), rtol=1e-5, atol=1e-6))
    True

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"weight_norm: model={model!r} is not allowed. Allowed: a Keras model.")
    if not any(kernels_of(layer) for layer in model._flatten_layers() if layer.built):
        raise ValueError(f"weight_norm: model '{model.name}' has no built layer with a kernel.")
    chosen = selected("weight_norm", model, layers, filter(has_kernels, units(model)))

    def to_normalize(layer):
        return [unit for unit in units(layer) if has_kernels(unit) and chosen(unit)]

    def opened(layer):
        # A layer is opened if some of its kernels stay as they are, and else wrapped as a whole.
        is_opened = layer not in units(layer) and 0 < len(to_normalize(layer)) < len(units(layer))
        if (
            is_opened
            and type(layer).__module__.startswith("keras.")
            and not isinstance(layer, _CAN_BE_OPENED)
        ):
            raise ValueError(
                f"weight_norm: layers={layers!r} selects some of the kernels of layer "
                f"'{layer.name}' ({type(layer).__name__}), which Keras cannot save so. "
                "Allowed: all of them, or none."
            )
        return is_opened

    def replace(layer):
        return _normalized(layer) if to_normalize(layer) else copy_of(layer)

    return rebuild(model, replace, _carry, opened=opened)


# These layers of Keras make the layers that they hold again from their configuration.
_CAN_BE_OPENED = (
    keras.layers.RNN,
    keras.layers.StackedRNNCells,
    keras.layers.Bidirectional,
    keras.layers.TimeDistributed,
)


def _normalized(layer):
    for part in layer._flatten_layers():
        kernels_of(part)  # This call raises for quantized layers.
    if getattr(layer, "lora_enabled", False):
        raise ValueError(
            f"weight_norm: layer '{layer.name}' has LoRA enabled. Allowed: layers without LoRA."
        )
    if type(layer) in SUBCLASSES:
        config = layer.get_config()
        for unsupported in ("lora_rank", "lora_alpha", "quantization_config"):
            config.pop(unsupported, None)
        return SUBCLASSES[type(layer)].from_config(config)
    copy = copy_of(layer)
    # The copy is built here, because a layer of several inputs cannot be built through its wrapper.
    build_from_config(copy, layer.get_build_config())
    return layers_of_ours.WeightNormalization(copy, name=layer.name)


def _carry(layer, new):
    if is_normalized_layer(new) and not is_normalized_layer(layer):
        assign(assignments_from_plain(layer, new))
        _carry_trainable(layer, new)
    else:
        copy_state(layer, new)


def _carry_trainable(plain, normalized):
    """Freezes the variables that were frozen. Of a frozen kernel, v and g are."""
    pairs = normalized_kernels(normalized)
    for variable, new in zip(plain.weights, weights_but_gains(normalized), strict=True):
        new.trainable = variable.trainable
        if not variable.trainable and id(new) in pairs:
            pairs[id(new)][1].variable.trainable = False


def assignments_from_plain(
    plain: keras.layers.Layer, normalized: keras.layers.Layer, as_directions: bool = False
) -> Assignments:
    """The assignments that give a weight-normalized layer the weights of a plain one.

    With `as_directions`, they become v where the layer has no gain.
    """
    pairs = normalized_kernels(normalized)
    assignments = []
    for variable, value in zip(weights_but_gains(normalized), plain.get_weights(), strict=True):
        if id(variable) in pairs:
            stored = StoredWeight(value, None)
            assignments += stored.assignments(normalized, *pairs[id(variable)], as_directions)
        else:
            assignments.append((variable, value))
    return assignments
