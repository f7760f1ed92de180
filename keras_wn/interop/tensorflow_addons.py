"""Loads weights of Keras 2 models with TensorFlow Addons' `WeightNormalization` or a copy of it."""

import collections
import dataclasses
import itertools
import os
import re

import keras
import numpy as np

from keras_wn.interop.keras2_files import ADDONS_WRAPPER, StoredLayer, read
from keras_wn.interop.stored_weight import (
    LoadReport,
    StoredWeight,
    assign,
    named_leaves,
    normalized_kernels,
)
from keras_wn.layers.kernels import kernels_of
from keras_wn.layers.wrapped import automatic_number

_TRANSPOSES = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


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
    targets = [_target(leaf) for leaf in named_leaves(model)] if model.built else []
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
    groups, unexpected = _matched(path, targets, stored, names or {})
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
class _Target:
    """A leaf of the model, to be loaded.

    Attributes:
        name: Its name.
        variables: List of pairs of a weight's name in Keras 2 and its variable. Gains are not
            among them.
        normalized: Dict from `id(variable)` of a normalized kernel to its layer, `Kernel` and
            `Gain`.
        transposed: Set of `id(variable)` of the kernels of transposed convolutions.
        has_given_name: Boolean, whether the name is not one that Keras derived from the class.
    """

    name: str
    variables: list[tuple[str, keras.Variable]]
    normalized: dict[int, tuple]
    transposed: set[int]
    has_given_name: bool

    @property
    def has_weight_g(self) -> bool:
        """Whether g is a weight like any other, as in a layer of the user's own."""
        return any(name == "g" for name, _ in self.variables)


@dataclasses.dataclass(frozen=True)
class _Pair:
    """A variable and the array that it is loaded from, with the layer's g if the array is v."""

    target: _Target
    stored: StoredLayer
    variable: keras.Variable
    array: np.ndarray
    g: np.ndarray | None


def _target(leaf):
    parts = leaf.layer._flatten_layers()
    normalized = {}
    for part in parts:
        normalized |= {key: (part, *found) for key, found in normalized_kernels(part).items()}
    gains = {id(gain.variable) for _, _, gain in normalized.values() if gain is not None}
    depthwise = _kernels_in(parts, _DEPTHWISE)
    variables = [
        ("depthwise_kernel" if id(variable) in depthwise else _own_name(variable.name), variable)
        for variable in leaf.variables
        if id(variable) not in gains
    ]
    transposed, is_given = _kernels_in(parts, _TRANSPOSES), automatic_number(leaf.layer) is None
    return _Target(leaf.name, variables, normalized, transposed, is_given)


def _kernels_in(layers, classes):
    chosen = [layer for layer in layers if isinstance(layer, classes)]
    return {id(kernel.variable) for layer in chosen for kernel in kernels_of(layer)}


def _own_name(name):
    """The name of a weight; the same for all weights that Keras had to name."""
    return "variable" if re.fullmatch(r"[Vv]ariable(_\d+)?", name) else name


def _matched(path, targets, stored, names):
    """Pairs of targets and the stored layers that they are loaded from, and the names of others."""
    try:
        return _groups(path, targets, stored, names), []
    except ValueError as error:
        parts = list(dict.fromkeys(layer.part for layer in stored if layer.part))
        if len(parts) == 1:
            # The checkpoint holds one model, and variables such as the number of steps.
            model = [layer for layer in stored if layer.part]
            others = [layer.name for layer in stored if not layer.part]
            return _groups(path, targets, model, names), others
        if not parts or any(part.startswith("layer_with_weights-") for part in parts):
            raise
        # A checkpoint of several models has a part for each of them.
        raise ValueError(f"{error} Of several models, prefix chooses one: {parts}.") from None


def _groups(path, targets, stored, names):
    groups = _named(targets, stored, names)
    named = {id(item) for group in groups for side in group for item in side}
    targets = [target for target in targets if id(target) not in named]
    stored = [layer for layer in stored if id(layer) not in named]
    if by_name := _by_name(targets, stored):
        return groups + by_name
    if unordered := [layer for layer in stored if not layer.order_is_known]:
        raise ValueError(
            f"load_tfa_weights: {path} was written with some layers frozen, so that the order of "
            f"{_listed(unordered)} is not known. Allowed: names=... with each of these."
        )
    try:
        in_order = _in_order(targets, stored)
    except ValueError:
        if len(targets) == len(stored):
            raise
        in_order = None
    if in_order is None:
        raise ValueError(
            f"load_tfa_weights: {path} holds weights of {len(stored)} layers, and the model has "
            f"{len(targets)}. In order, the first pair that differs is "
            f"{_first_difference(targets, stored)}. Allowed: the same layers in the same order, or "
            "of the same names."
        )
    _check_order(in_order, stored)
    return groups + in_order


def _by_name(targets, stored):
    """Groups of one target and one stored layer of its name; empty if not all have the same."""
    ends = collections.Counter(layer.name.rpartition("/")[2] for layer in stored)
    by_name = {layer.name: layer for layer in stored}
    for layer in stored:
        end = layer.name.rpartition("/")[2]
        if ends[end] == 1:
            by_name.setdefault(end, layer)
    found = [([target], [by_name[target.name]]) for target in targets if target.name in by_name]
    if not len(found) == len(targets) == len({id(layer) for _, (layer,) in found}) == len(stored):
        return []
    try:
        for group in found:
            _check_names(*group)
    except ValueError:
        return []  # These are names that Keras derived from the classes, in another order.
    return found


def _check_order(groups, stored):
    """Raises for a target whose name another stored layer has than the one it is loaded from."""
    names = {layer.name.rpartition("/")[2] for layer in stored}
    for targets, layers in groups:
        own = {layer.name.rpartition("/")[2] for layer in layers}
        for target in targets:
            if target.has_given_name and target.name in names - own:
                raise ValueError(
                    f"load_tfa_weights: in order, layer '{target.name}' is '{layers[0].name}' of "
                    f"the file, which also has a '{target.name}'. Allowed: names=... with this "
                    "layer, or the same names for all layers."
                )


def _first_difference(targets, stored):
    for target, layer in itertools.zip_longest(targets, stored):
        if target is None or layer is None:
            break
        expected = collections.Counter(name for name, _ in target.variables)
        if expected != collections.Counter(own for _, own, _ in _weights([target], [layer])):
            break
    ours = "no layer" if target is None else f"layer '{target.name}'"
    return f"{ours} and {'no layer' if layer is None else repr(layer.name)} of the file"


def _listed(layers):
    return ", ".join(f"'{layer.name}'" for layer in layers)


def _named(targets, stored, names):
    """The groups that `names` gives; a name also stands for all that begin with it and a slash."""
    by_name = {target.name: target for target in targets}
    groups, used = [], set()
    for name, in_file in names.items():
        layers = [layer for layer in stored if layer.name == in_file]
        layers = layers or [layer for layer in stored if layer.name.startswith(f"{in_file}/")]
        if name not in by_name or not layers or used & {layer.name for layer in layers}:
            raise ValueError(
                f"load_tfa_weights: names with {name!r}: {in_file!r} is not allowed. Allowed: from "
                f"the layers {_listed(targets)} to one each of {_listed(stored)}."
            )
        used |= {layer.name for layer in layers}
        groups.append(([by_name[name]], layers))
        _check_names(*groups[-1])
    return groups


def _in_order(targets, stored):
    """Groups of equally many weights: one target and one stored layer, or several of one of them.

    A bidirectional layer is one target, and two cells in a file. Layers that Keras 2 built without
    name scopes of their own are several targets, and one layer in an HDF5 file.

    Returns:
        List of pairs of lists; None if one side has more than the other.
    """
    groups, targets, stored = [], collections.deque(targets), collections.deque(stored)
    while targets and stored:
        some, layers = [targets.popleft()], [stored.popleft()]
        while len(some) == 1 and stored and _count(some) > len(_weights(some, layers)):
            layers.append(stored.popleft())
        while len(layers) == 1 and targets and _count(some) < len(_weights(some, layers)):
            some.append(targets.popleft())
        _check_names(some, layers)
        groups.append((some, layers))
    return None if targets or stored else groups


def _count(targets):
    return sum(len(target.variables) for target in targets)


def _weights(targets, layers):
    """Triples of a stored layer, a weight's own name and its array; without g that is a gain."""
    with_g = any(target.has_weight_g for target in targets)
    found = [(layer, _own_name(own), array) for layer in layers for own, array in layer.weights]
    return [item for item in found if with_g or item[1] != "g"]


def _check_names(targets, layers):
    expected = [name for target in targets for name, _ in target.variables]
    given = [own for _, own, _ in _weights(targets, layers)]
    # Only the names tell which weight belongs to which of several targets of one layer.
    owners = collections.Counter()
    for target in targets:
        owners.update({name for name, _ in target.variables})
    if max(owners.values()) > 1 or collections.Counter(expected) != collections.Counter(given):
        raise ValueError(
            f"load_tfa_weights: layer '{targets[0].name}' expected the weights {expected}. "
            f"Received of '{layers[0].name}': {given}."
        )


def _pairs(targets, layers):
    """Pairs of the same name; in order where a name occurs twice, as in a bidirectional layer."""
    queues = collections.defaultdict(collections.deque)
    for layer, own, array in _weights(targets, layers):
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
