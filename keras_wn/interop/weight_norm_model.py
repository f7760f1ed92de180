"""Weight normalization on the kernels of an existing model."""

import keras

from keras_wn import layers
from keras_wn.interop.rebuild import copy_of, copy_state, rebuild
from keras_wn.interop.stored_weight import StoredWeight, assign, normalized_kernels, weights_but_gains
from keras_wn.layers.kernels import kernels_of
from keras_wn.layers.reparameterized import Reparameterized

# Plain Keras class -> its weight-normalized subclass.
SUBCLASSES = {
    getattr(keras.layers, name.removeprefix("WN")): getattr(layers, name)
    for name in layers.__all__
    if name.startswith("WN")
}


def weight_norm(model):
    """A copy of a model with weight normalization on its kernels, and the same outputs.

    `w = g v / ||v||` with `v = w` and `g = ||w||`. Layers with kernels of their own become `WNDense`, `WNConv2D` and so on; recurrent
    layers, attention and other layers around kernels become `WeightNormalization(layer)`; the rest is copied.

    Args:
        model: Built Keras model, nested ones allowed; left as it is. In a subclassed model, the layers that are its attributes are
            normalized, alone or in lists and dicts; a file of such a model loads into `weight_norm(Model())` by `load_weights`.

    Returns:
        Keras model of the same kind and name; compiled with a new optimizer if `model` is compiled. A filter that is zero gets a
        v drawn at random, and g = 0: it could not leave zero otherwise.

    Raises:
        ValueError: If the model is not built, has no kernels, or is a subclassed model that Keras cannot make again from its
            `get_config` (wrap it: `WeightNormalization(model)`).

    Example:

    >>> import numpy as np, keras, keras_wn
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu")])
    >>> normalized = keras_wn.weight_norm(model)
    >>> type(normalized.layers[0]).__name__
    'WNDense'
    >>> x = np.ones((1, 4))
    >>> bool(np.allclose(normalized(x), model(x), rtol=1e-6))
    True

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"weight_norm: model={model!r} is not allowed. Allowed: a Keras model.")
    if not any(kernels_of(layer) for layer in model._flatten_layers() if layer.built):
        raise ValueError(f"weight_norm: model '{model.name}' has no built layer with a kernel.")
    return rebuild(model, _normalized, _carry)


def _normalized(layer):
    if getattr(layer, "lora_enabled", False):
        raise ValueError(f"weight_norm: layer '{layer.name}' has LoRA enabled. Allowed: layers without LoRA.")
    if type(layer) in SUBCLASSES:
        config = layer.get_config()
        for unsupported in ("lora_rank", "lora_alpha", "quantization_config"):
            config.pop(unsupported, None)
        return SUBCLASSES[type(layer)].from_config(config)
    if layer.built and any(kernels_of(sub) for sub in layer._flatten_layers()) and not has_weight_norm(layer):
        copy = copy_of(layer)
        # Built here: a layer of several inputs cannot be built through its wrapper.
        copy.build_from_config(layer.get_build_config())
        return layers.WeightNormalization(copy, name=layer.name)
    return copy_of(layer)


def _carry(layer, new):
    if has_weight_norm(new) and not has_weight_norm(layer):
        assign(from_plain(layer, new))
    else:
        copy_state(layer, new)


def from_plain(plain, normalized):
    """What to assign so that a weight-normalized layer has the weights of the plain one: pairs of a variable and an array."""
    pairs = normalized_kernels(normalized)
    found = []
    for variable, value in zip(weights_but_gains(normalized), plain.get_weights(), strict=True):
        if id(variable) in pairs:
            found += StoredWeight(value, None).assignments(normalized, *pairs[id(variable)])
        else:
            found.append((variable, value))
    return found


def has_weight_norm(layer):
    """Whether a layer is weight-normalized, or has a weight-normalized layer inside."""
    return any(isinstance(sub, Reparameterized | layers.WeightNormalization) for sub in layer._flatten_layers())
