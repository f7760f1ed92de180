"""Weight normalization on the kernels of an existing model."""

import keras
import numpy as np

from keras_wn import layers
from keras_wn.interop.rebuild import copy_of, rebuild
from keras_wn.layers import gains
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
    if type(layer) in SUBCLASSES:
        config = layer.get_config()
        for unsupported in ("lora_rank", "lora_alpha", "quantization_config"):
            config.pop(unsupported, None)
        return SUBCLASSES[type(layer)].from_config(config)
    if layer.built and any(kernels_of(sub) for sub in layer._flatten_layers()) and not _has_weight_norm(layer):
        copy = copy_of(layer)
        # Built here: a layer of several inputs cannot be built through its wrapper.
        copy.build_from_config(layer.get_build_config())
        return layers.WeightNormalization(copy, name=layer.name)
    return copy_of(layer)


def _carry(layer, new):
    if isinstance(new, Reparameterized) and type(layer) in SUBCLASSES:
        plain = {variable.name: variable for variable in layer.weights}
        for variable in new.weights:
            if variable.name in plain:
                variable.assign(plain[variable.name])
    elif isinstance(new, layers.WeightNormalization) and not isinstance(layer, layers.WeightNormalization):
        new.layer.set_weights(layer.get_weights())
    else:
        new.set_weights(layer.get_weights())
        return
    for kernel, gain in new.kernels_and_gains():
        gain.assign(gains.norm_of(kernel))
        _revive(kernel)


def _revive(kernel):
    """Gives the zero filters of a kernel a direction, with w = 0 while their gain is 0."""
    v = keras.ops.convert_to_numpy(kernel.variable)
    zero = np.all(v == 0, axis=kernel.fan_in, keepdims=True)
    if np.any(zero):
        kernel.variable.assign(np.where(zero, np.random.default_rng(0).normal(size=v.shape), v))


def _has_weight_norm(layer):
    return any(isinstance(sub, Reparameterized | layers.WeightNormalization) for sub in layer._flatten_layers())
