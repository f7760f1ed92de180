"""Weight normalization on the kernels of an existing model."""

import keras

from keras_wn import layers
from keras_wn.interop.rebuild import copy_of, rebuild
from keras_wn.layers.kernels import kernels_of
from keras_wn.layers.reparameterized import Reparameterized
from keras_wn.reparameterizations import norm

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
        model: Built functional or Sequential Keras model, nested ones allowed; left as it is.

    Returns:
        Keras model of the same kind and name, not compiled.

    Raises:
        ValueError: If the model is not built, is a subclassed model (wrap it: `WeightNormalization(model)`), or has no kernels.

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
    if not any(kernels_of(layer) for layer in model._flatten_layers() if layer.built):
        raise ValueError(f"weight_norm: model '{model.name}' has no built layer with a kernel.")
    return rebuild(model, _normalized, _carry)


def _normalized(layer):
    if type(layer) in SUBCLASSES:
        config = layer.get_config()
        for unsupported in ("lora_rank", "lora_alpha", "quantization_config"):
            config.pop(unsupported, None)
        return SUBCLASSES[type(layer)].from_config(config)
    if any(kernels_of(sub) for sub in layer._flatten_layers()) and not _has_weight_norm(layer):
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
        gains, kernels = new._gains, {kernel.name: kernel for kernel in kernels_of(new)}
    elif isinstance(new, layers.WeightNormalization) and not isinstance(layer, layers.WeightNormalization):
        new.layer.set_weights(layer.get_weights())
        gains, kernels = new.gains, new.kernels
    else:
        new.set_weights(layer.get_weights())
        return
    for name, gain in gains.items():
        gain.assign(keras.ops.reshape(norm(kernels[name].variable, kernels[name].fan_in), gain.shape))


def _has_weight_norm(layer):
    return any(isinstance(sub, Reparameterized | layers.WeightNormalization) for sub in layer._flatten_layers())
