"""Loads the weights files of plain Keras models into weight-normalized models."""

import os

import keras
from keras import ops

from keras_wn.interop.fold import folding
from keras_wn.interop.rebuild import finalize_state, rebuild_pairs
from keras_wn.interop.stored_weight import assign
from keras_wn.interop.weight_norm_model import assignments_from_plain
from keras_wn.layers import BatchStatisticsNoise, ScalarBias, ScalarGain
from keras_wn.layers.kernels import own_variables
from keras_wn.layers.selection import call_scale, is_normalized_layer


def load_plain_weights(
    model: keras.Model, path: str | os.PathLike, as_directions: bool = False
) -> None:
    """Loads a weights file of a plain Keras model into a weight-normalized model of its layers.

    Each kernel w in the file gives `v = w` and `g = ||w||`. Layers without weight normalization get
    their weights. The other direction needs no function: `keras_wn.fold(model).save_weights(path)`
    writes a file that the plain model loads.

    Args:
        model: Built Keras model with weight-normalized layers. Its `keras_wn.fold` is the model
            that wrote the file.
        path: A file `name.weights.h5` or `name.keras`, as Keras' `load_weights` takes it.
        as_directions: Boolean, whether `v = w` in layers with `use_gain=False`, whose weight is
            then `w / ||w||`. This is right for a network that normalizes its weights itself.

    Returns:
        None. All weights of the model are assigned or, with an error, none.

    Raises:
        ValueError: If the file cannot be read or does not fit, or if a layer cannot hold a kernel:
            with `use_gain=False` without `as_directions`, or with a `scale` from another layer.
            Also if a functional model has a `ScalarGain`, `SkipInit` or `ScalarBias`, whose number
            is not in the file.

    Example:

    >>> import keras, keras_wn, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "plain.weights.h5")
    >>> dense = keras.layers.Dense(3, kernel_initializer="ones")
    >>> keras.Sequential([keras.Input((4,)), dense]).save_weights(path)
    >>> model = keras.Sequential([keras.Input((4,)), keras_wn.layers.WNDense(3)])
    >>> load_plain_weights(model, path)
    >>> float(model.layers[0].g[0])
    2.0

    Reference: ours.
    """
    replace, carry, call, opened, _ = folding(model)
    twin, pairs, owners = rebuild_pairs(model, replace, call, opened)
    for layer, new in pairs:
        carry(layer, new)
    try:
        twin.load_weights(path)
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"load_plain_weights: cannot load {path} into the plain layers of model "
            f"'{model.name}': {reason} Allowed: a weights file, name.weights.h5 or name.keras, of "
            "the model's plain twin, keras_wn.fold(model)."
        ) from error
    assignments = []
    for layer, new in pairs:
        assignments += _assignments(new, layer, as_directions)
    for owner, own_twin in owners:
        assignments += zip(
            own_variables(owner), map(ops.convert_to_numpy, own_variables(own_twin)), strict=True
        )
    assign(assignments)
    finalize_state(model)


def _assignments(new, layer, as_directions):
    if call_scale(layer) is not None:
        raise ValueError(
            f"load_plain_weights: layer '{layer.name}' takes a scale from another layer, which is "
            "in the file's kernel. Allowed: layers without a scale."
        )
    if isinstance(layer, ScalarGain | ScalarBias) and not new.weights:
        raise ValueError(
            f"load_plain_weights: layer '{layer.name}' is a {type(layer).__name__}, whose number "
            "is part of the plain model and not of its weights. Allowed: models without such "
            "layers."
        )
    if isinstance(layer, BatchStatisticsNoise):
        return []
    if is_normalized_layer(layer):
        return assignments_from_plain(new, layer, as_directions)
    return list(zip(layer.weights, new.get_weights(), strict=True))
