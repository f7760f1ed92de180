"""Loads weights of Keras 2 models with TensorFlow Addons' `WeightNormalization` or a copy of it."""

import collections
import dataclasses
import os

import keras
import numpy as np

from keras_wn.interop.keras2_files import ADDONS_WRAPPER, StoredLayer, read
from keras_wn.interop.keras2_matching import Target, match, targets_of, weights_of
from keras_wn.interop.stored_weight import LoadReport, StoredWeight, assign


def load_tfa_weights(
    model: keras.Model,
    path: str | os.PathLike,
    names: dict[str, str] | None = None,
    prefix: str | None = None,
    unit_axis: int | None = None,
) -> LoadReport:
    """Loads weights that a Keras 2 model with TensorFlow Addons' `WeightNormalization` wrote.

    TensorFlow Addons has one norm per entry of the kernel's last axis, and of a recurrent layer it
    normalizes the recurrent kernel. A layer here whose norm has the same axes gets v and g as they
    are. In any other case, a transposed convolution with one norm per output channel for example,
    the weight w is the same, with `v = w` and `g = ||w||`, and a warning names the `axis` that
    `keras_wn.layers.WeightNormalization` needs to keep v and g. Plain Keras layers get w. Layers
    without weight normalization get their weights, batch normalization's statistics among them.
    Optimizers, metrics, and the copies that `data_init=True` makes are not read. A layer that was
    never called in Keras 2 has no g yet, and gets `g = ||v||`, as with `data_init=False`.

    The layers are matched by name if all of them have the names of the file's. Otherwise they are
    matched in order, if no name that was given to a layer contradicts that, those of nested models
    and of layers around others as well: a model's as they come in `model.layers`, and a layer's as
    they became its attributes.

    Args:
        model: Built Keras model of the same layers in the same order; each normalized here in any
            way, or plain. A model of plain layers alone also takes a file of a plain Keras 2 model.
        path: A file of `model.save_weights("name.h5")` or `model.save("name.h5")`, a SavedModel's
            folder, or the prefix of a checkpoint that `model.save_weights`, `tf.train.Checkpoint`
            or its manager wrote. The last two need TensorFlow.
        names: Dict from a layer's name, or its path `block/conv` where several layers have the
            name, to the layer's name in the file. Layers that are not in it are matched as
            above. Parallel branches can have another order in the file; so can, in HDF5 files, the
            layers of a model or layer around others if some were frozen.
        prefix: The model to read from a checkpoint of several, as `generator`; or the model or
            layer to read from inside of another one. None: all, or the only model in the
            checkpoint.
        unit_axis: The axis of a transposed convolution's kernel that has the norms, for kernels of
            as many output as input channels: -1 in TensorFlow Addons, -2 in TensorFlowTTS.
            None: as the file shows, by transposed convolutions of other lengths or, in
            `model.save("name.h5")`, by the class of the wrapper.

    Returns:
        `LoadReport` of what was loaded; `unexpected` lists the variables of a checkpoint that are
        not those of its only model. All of the model's weights are assigned or, with an error,
        none.

    Raises:
        ValueError: If the file cannot be read as one of these, if its layers do not match the
            model's, if shapes differ, if the file is of a plain model and `model` has
            weight-normalized layers, or if the file does not show what `unit_axis` is.

    Example:

    ```python
    layer = keras_wn.layers.WeightNormalization(keras.layers.Dense(2))
    model = keras.Sequential([keras.Input((8,)), layer])
    keras_wn.interop.load_tfa_weights(model, "old.h5")
    ```

    Reference: `tensorflow_addons.layers.WeightNormalization`, 0.23, and TensorFlowTTS'
    `tensorflow_tts/utils/weight_norm.py`.
    """
    if unit_axis not in (None, -1, -2):
        raise ValueError(f"load_tfa_weights: unit_axis={unit_axis!r}. Allowed: -1, -2 or None.")
    targets = targets_of(model) if model.built else []
    if not targets:
        raise ValueError(
            f"load_tfa_weights: model '{model.name}' is not built or has no weights. Allowed: a "
            "model that was called on a batch, or that has an Input."
        )
    stored = read(path, prefix)
    is_plain = not any("g" in dict(layer.weights) for layer in stored)
    if is_plain and any(target.normalized for target in targets):
        raise ValueError(
            f"load_tfa_weights: {path} is of a plain Keras model, in which no layer has a g. "
            "Allowed: to load it into plain layers, load_tfa_weights(plain_model, path), and then "
            "keras_wn.weight_norm(plain_model)."
        )
    groups, unexpected = match(path, targets, stored, names or {})
    pairs = [pair for group in groups for pair in _pairs(*group)]
    assignments, other_axes = [], {}
    for pair, g in zip(pairs, _gains(pairs, unit_axis), strict=True):
        weight = StoredWeight(pair.array, g)
        if id(pair.variable) in pair.target.normalized:
            layer, kernel, gain = pair.target.normalized[id(pair.variable)]
            assignments += weight.assignments(layer, kernel, gain)
            if axes := weight.other_axes(kernel):
                other_axes[pair.target.name] = axes
        else:
            assignments.append((pair.variable, weight.w))
    assign(assignments)
    loaded = {}
    for some, layers in groups:
        from_names = ", ".join(layer.name for layer in layers)
        loaded |= {target.name: from_names for target in some}
    report = LoadReport(loaded, other_axes, missing=[], unexpected=unexpected)
    report.warn_of_other_axes("load_tfa_weights")
    return report


@dataclasses.dataclass(frozen=True)
class _Pair:
    """A variable and the array that it is loaded from, with the layer's g if the array is v."""

    target: Target
    stored: StoredLayer
    variable: keras.Variable
    array: np.ndarray
    g: np.ndarray | None


def _pairs(targets, layers):
    """Pairs of the same name; in order where a name occurs twice, as in a bidirectional layer."""
    queues = collections.defaultdict(collections.deque)
    for layer, own, array in weights_of(targets, layers):
        queues[own].append((layer, array))
    pairs = []
    for target in targets:
        for name, variable in target.variables:
            layer, array = queues[name].popleft()
            if array.shape != tuple(variable.shape):
                raise ValueError(
                    f"load_tfa_weights: layer '{target.name}' expected '{name}' of shape "
                    f"{tuple(variable.shape)}. Received of '{layer.name}': {array.shape}."
                )
            g = None if target.has_weight_g else _g_of(layer, name)
            pairs.append(_Pair(target, layer, variable, array, g))
    return pairs


def _g_of(layer, name):
    """g of the weight that the wrapper normalizes; None of every other weight.

    None as well if the layer was never called: its weight is v, as where g starts at `||v||`.
    """
    own_names = [own for own, _ in layer.weights]
    normalized = "recurrent_kernel" if "recurrent_kernel" in own_names else "kernel"
    if "g" not in own_names or name != normalized or not layer.was_called:
        return None
    if own_names.count(name) > 1:
        raise ValueError(
            f"load_tfa_weights: '{layer.name}' has one g for {own_names.count(name)} weights "
            f"'{name}'. Allowed: one weight of that name."
        )
    return dict(layer.weights)["g"]


def _gains(pairs, unit_axis):
    """g of each pair in the kernel's rank, or None."""
    possible = [set() if pair.g is None else _possible_axes(pair) for pair in pairs]
    shown = collections.defaultdict(set)
    for pair, axes in zip(pairs, possible, strict=True):
        if len(axes) == 1 and id(pair.variable) in pair.target.transposed:
            shown[pair.array.ndim] |= axes
    gains = []
    for pair, axes in zip(pairs, possible, strict=True):
        if pair.g is None:
            gains.append(None)
            continue
        if len(axes) > 1:
            axes = _chosen_axis(pair, shown[pair.array.ndim], unit_axis)
        shape = [1] * pair.array.ndim
        shape[next(iter(axes))] = len(pair.g)
        gains.append(np.reshape(pair.g, shape))
    return gains


def _possible_axes(pair):
    """The axes of the kernel that have g's length: two in some transposed convolutions."""
    shape = pair.array.shape
    axes = (-1, -2) if id(pair.variable) in pair.target.transposed else (-1,)
    found = {axis for axis in axes if pair.g.shape == (shape[axis],)}
    if not found:
        raise ValueError(
            f"load_tfa_weights: g of '{pair.stored.name}', for layer '{pair.target.name}', has "
            f"shape {pair.g.shape}. Allowed with its kernel {shape}: "
            f"{[(shape[axis],) for axis in axes]}."
        )
    return found


def _chosen_axis(pair, shown, unit_axis):
    """The axis of g where its length does not tell.

    Args:
        pair: The `_Pair`.
        shown: Set of the axes of g in other transposed convolutions of the same class.
        unit_axis: As the user says.

    Returns:
        Set of one axis.

    Raises:
        ValueError: If nothing tells, or if two things contradict each other.
    """
    if len(pair.g) == 1:
        # With one output and one input channel, the norm runs over the whole kernel either way.
        return {-1}
    axes = shown | ({-1} if pair.stored.class_name == ADDONS_WRAPPER else set())
    said = axes | ({unit_axis} - {None})
    if len(said) == 1:
        return said
    shows = [
        "does not show which of these have the norms",
        f"shows unit_axis={', '.join(map(str, axes))}",
        "shows both in other layers",
    ][len(axes)]
    raise ValueError(
        f"load_tfa_weights: g of '{pair.stored.name}', for layer '{pair.target.name}', has as many "
        f"entries as the transposed kernel {pair.array.shape} has output and input channels, and "
        f"the file {shows}. Allowed: unit_axis=-1 for TensorFlow Addons, -2 for TensorFlowTTS."
    )
