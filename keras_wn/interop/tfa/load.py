"""Weights of a Keras 2 model with TensorFlow Addons' `WeightNormalization`."""

import collections

import keras
import numpy as np

from keras_wn.interop.stored_weight import StoredWeight, assign, normalized_kernels, weights_but_gains
from keras_wn.interop.tfa.files import read

# What a wrapper of TensorFlow Addons adds to its layer.
_GAIN, _INITIALIZED = "g", "initialized"


def load_tfa_weights(model, path, names=None):
    """Loads weights that a Keras 2 model with layers in `tensorflow_addons.layers.WeightNormalization` wrote.

    TensorFlow Addons has one norm per entry of the kernel's last axis, and of a recurrent layer it normalizes the recurrent kernel.
    A layer here whose norm has the same axes gets v and g as they are. In any other case, a transposed convolution with one norm per
    output channel for example, the weight is the same, with `v = w` and `g = ||w||`. Plain Keras layers get w; layers that were not
    normalized there get their weights, batch normalization's statistics among them. The optimizer's state is not read.

    Args:
        model: Built Keras model of the same layers in the same order; each normalized here in any way, or plain.
        path: A file of `model.save_weights("name.h5")` or `model.save("name.h5")`, a SavedModel's folder, or a checkpoint's prefix. The
            last two need TensorFlow.
        names: Dict from a layer's name to its name in the file. None: in order, the model's layers as they come in `model.layers`,
            which for parallel branches may be another order than Keras 2 had.

    Returns:
        None. The model's weights are assigned, all of them or, with an error, none.

    Raises:
        ValueError: If the file cannot be read as one of these, if its layers do not match the model's, or if shapes differ.

    Example:

    ```python
    model = keras.Sequential([keras.Input((8,)), keras_wn.layers.WeightNormalization(keras.layers.Dense(2))])
    keras_wn.interop.load_tfa_weights(model, "old.h5")
    ```

    Reference: `tensorflow_addons.layers.WeightNormalization`, 0.23.
    """
    targets = _layers_with_weights(model) if model.built else []
    if not targets:
        raise ValueError(
            f"Model '{model.name}' is not built or has no weights. Call it on a batch, or give it an Input, first."
        )
    stored = read(path)
    if names is not None:
        by_name = dict(stored)
        if sorted(names) != sorted(layer.name for layer in targets) or sorted(names.values()) != sorted(by_name):
            raise ValueError(
                f"load_tfa_weights: names={names} is not allowed. Allowed: each of {[layer.name for layer in targets]} with one of "
                f"{list(by_name)}."
            )
        stored = [(names[layer.name], by_name[names[layer.name]]) for layer in targets]
    if len(stored) != len(targets):
        raise ValueError(
            f"load_tfa_weights: {path} holds weights of {len(stored)} layers, {[name for name, _ in stored]}, and the model has "
            f"{len(targets)}, {[layer.name for layer in targets]}. Allowed: the same layers in the same order."
        )
    assignments = []
    for layer, (name, weights) in zip(targets, stored, strict=True):
        assignments += _assignments(layer, name, weights)
    assign(assignments)


def _layers_with_weights(model):
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += _layers_with_weights(layer)
        elif layer.weights:
            found.append(layer)
    return list({id(layer): layer for layer in found}.values())


def _assignments(layer, name, weights):
    normalized, variables = normalized_kernels(layer), weights_but_gains(layer)
    arrays = [(own.rpartition("/")[2], array) for own, array in weights if own not in (_GAIN, _INITIALIZED)]
    found = []
    for variable, array in _matched(layer, name, variables, arrays):
        stored = StoredWeight(array, _gain(layer, name, dict(weights), variable.name, array))
        if id(variable) in normalized:
            found += stored.assignments(layer, *normalized[id(variable)])
        elif array.shape != tuple(variable.shape):
            raise ValueError(
                f"Layer '{layer.name}' expected '{variable.name}' of shape {tuple(variable.shape)}. Received of '{name}': {array.shape}."
            )
        else:
            found.append((variable, stored.w))
    return found


def _matched(layer, name, variables, arrays):
    """Pairs of a variable and its array: by name, or in order where names occur twice, as in a bidirectional layer."""
    wanted, given = [variable.name for variable in variables], [own for own, _ in arrays]
    if collections.Counter(wanted) != collections.Counter(given):
        raise ValueError(f"Layer '{layer.name}' expected the weights {wanted}. Received of '{name}': {given}.")
    queues = collections.defaultdict(list)
    for own, array in arrays:
        queues[own].append(array)
    return [(variable, queues[variable.name].pop(0)) for variable in variables]


def _gain(layer, name, weights, variable_name, array):
    """g of the kernel that TensorFlow Addons normalized, in the kernel's rank; None of every other weight."""
    recurrent = any(own.endswith("recurrent_kernel") for own in weights)
    if _GAIN not in weights or variable_name != ("recurrent_kernel" if recurrent else "kernel"):
        return None
    if weights[_GAIN].shape != array.shape[-1:]:
        raise ValueError(
            f"Layer '{layer.name}': g of '{name}' has shape {weights[_GAIN].shape}, its kernel {array.shape}."
        )
    return np.reshape(weights[_GAIN], (1,) * (array.ndim - 1) + (-1,))
