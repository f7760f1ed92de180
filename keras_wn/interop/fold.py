"""Folds weight normalization into plain Keras layers."""

import keras

from keras_wn import layers as layers_of_ours
from keras_wn.interop.fold_batch_norm import fold_batch_norm
from keras_wn.interop.rebuild import (
    copy_into,
    copy_of,
    copy_state,
    copy_variables,
    is_graph,
    rebuild,
)
from keras_wn.interop.selection import call_scale, is_normalized_layer, selected, units
from keras_wn.interop.weight_norm_model import SUBCLASSES
from keras_wn.layers import WeightNormalization, gains
from keras_wn.layers.reparameterized import Reparameterized
from keras_wn.layers.wrapped import named_kernels


def fold(model, fold_bn=False, layers=None):
    """A plain copy of a model, whose kernels are the effective weights w, with the same outputs.

    For inference and export: nothing is left to compute beside the layer itself, and no custom
    object to load. Regularizers and constraints of w stay, on the kernel; others of this package,
    and its initializers, are dropped with the normalization. A `scale` that a layer of a functional
    model takes from `JoinWeights`, or a constant one, becomes part of its kernel. `TReLU`,
    `NormalizedReLU` and the joins have no plain counterpart and stay as they are, as layers and as
    activations of layers.

    Args:
        model: Built Keras model, nested ones allowed; left as it is. Of a subclassed model, and of
            a layer of your own around others, the layers that are its attributes are folded, alone
            or in lists and dicts: its `call` must use these, not others that it keeps elsewhere,
            and use them as layers only.
        fold_bn: Boolean, whether each batch normalization, mean-only ones as well, that alone
            follows a linear convolution or dense layer is taken into that layer's kernel and bias,
            as it acts in inference. Others stay.
        layers: Which layers are folded: a name, a class, a function from a layer to a boolean, or a
            list of names and classes. The name or class of a model or of a layer around others
            stands for all in it; a function is not asked of models and of your own layers around
            others. None: all.

    Returns:
        Keras model of the same kind and name; compiled with a new optimizer if `model` is compiled,
        or with a warning left uncompiled if Keras cannot make its loss or metrics again. Where a
        layer of your own or a subclassed model holds folded layers, its `__init__` still makes the
        others: save such a model by its weights, or export it.

    Raises:
        ValueError: If the model is not built, if `layers` selects nothing, if a layer takes a
            `scale` from elsewhere than `JoinWeights`, or if the model, or a layer around others, is
            one that Keras cannot make again from its `get_config`; and for a subclassed model with
            `fold_bn=True`: which layer follows which is then not known.

    Example:

    >>> import numpy as np, keras, keras_wn
    >>> model = keras.Sequential([keras.Input((4,)), keras_wn.layers.WNDense(3)])
    >>> folded = keras_wn.fold(model)
    >>> type(folded.layers[0]) is keras.layers.Dense
    True
    >>> x = np.ones((1, 4))
    >>> bool(np.allclose(folded(x), model(x), rtol=1e-5, atol=1e-6))
    True

    Reference: ours.
    """
    if fold_bn and not is_graph(model):
        raise ValueError(
            f"fold: fold_bn=True on model '{model.name}' ({type(model).__name__}), whose graph is "
            "not known. "
            "Allowed: functional and Sequential models."
        )
    chosen = selected("fold", model, layers, is_normalized_layer)

    def is_folded(layer):
        return is_normalized_layer(layer) and chosen(layer)

    def opened(layer):
        return not is_normalized_layer(layer) and any(is_folded(unit) for unit in units(layer))

    def replace(layer):
        return plain(layer) if is_folded(layer) else copy_of(layer)

    def carry(layer, new):
        (carry_folded if is_folded(layer) else copy_state)(layer, new)

    folded = rebuild(model, replace, carry, without_scale, opened)
    return fold_batch_norm(folded) if fold_bn else folded


def holds_normalized(layer):
    """Whether a layer is around weight-normalized ones, and none itself."""
    return not is_normalized_layer(layer) and any(
        is_normalized_layer(unit) for unit in units(layer)
    )


def plain(layer):
    """A new, unbuilt plain layer in the place of a weight-normalized one; of others a copy.

    Raises:
        ValueError: If a layer is weight-normalized in a way that has no plain counterpart.
    """
    if isinstance(layer, WeightNormalization):
        inner = layer.layer
        config = _plain_config(inner.get_config())
        return type(inner).from_config({**config, "name": layer.name, "trainable": layer.trainable})
    if isinstance(layer, Reparameterized):
        call_scale(layer)  # Raises for what cannot be folded.
        return _plain_subclass(layer)
    return copy_of(layer)


def without_scale(layer, *args, **kwargs):
    """Calls a layer of a folded model; Keras' own take no `scale`, which is in their kernel."""
    if type(layer) in _FOLDED.values():
        kwargs.pop("scale", None)
    return layer(*args, **kwargs)


def _plain_subclass(layer):
    if type(layer) not in _FOLDED:
        raise ValueError(
            f"fold: layer '{layer.name}' is a {type(layer).__name__}, which may compute something "
            "else than its base class. "
            "Allowed: the layer classes of keras_wn."
        )
    config = _plain_config(layer.get_config())
    for ours in ("use_gain", "gain_initializer", "trainable_gain", "log_gain"):
        config.pop(ours, None)
    return _FOLDED[type(layer)].from_config(config)


# Weight-normalized class -> the Keras class that computes the same from w.
_FOLDED = {
    **{subclass: keras_class for keras_class, subclass in SUBCLASSES.items()},
    layers_of_ours.NormPropDense: keras.layers.Dense,
    layers_of_ours.NormPropConv2D: keras.layers.Conv2D,
    layers_of_ours.BoundedWNConv2D: keras.layers.Conv2D,
}


def _plain_config(config):
    """A configuration without this package's classes. Regularizers of w act on the kernel."""
    if isinstance(config, list | tuple):
        return type(config)(_plain_config(item) for item in config)
    if not isinstance(config, dict):
        return config
    return {name: _plain_entry(name, value) for name, value in config.items()}


def _plain_entry(name, value):
    if not name.endswith(("_initializer", "_regularizer", "_constraint")) or not isinstance(
        value, dict
    ):
        return _plain_config(value)
    registered = str(value.get("registered_name", ""))
    if registered.startswith("keras_wn>EffectiveKernel"):
        return value["config"][
            "regularizer" if registered.endswith("Regularizer") else "constraint"
        ]
    return None if registered.startswith("keras_wn>") else value


def carry_folded(layer, new):
    """Gives a plain layer the weights of the weight-normalized one, or of its original."""
    if not is_normalized_layer(layer):
        copy_state(layer, new)
        return
    scale = call_scale(layer)
    folded = layer.kernels_and_gains()
    if isinstance(layer, WeightNormalization):
        copy_state(layer.layer, new)
        kernels = named_kernels(new, layer.weight_names, layer.axis)
        targets = [kernel.variable for kernel in kernels.values()]
    else:
        by_name = {variable.name: variable for variable in new.weights}
        copy_variables(
            (variable, by_name[variable.name])
            for variable in layer.weights
            if variable.name in by_name
        )
        targets = [by_name[kernel.name] for kernel, _ in folded]
    for (kernel, gain), target in zip(folded, targets, strict=True):
        copy_into(target, gains.effective(kernel, gain, scale))
        target.trainable = kernel.variable.trainable or (
            gain is not None and gain.variable.trainable
        )
