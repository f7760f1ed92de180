"""Matches the layers of a model with those of a Keras 2 file, by name or in order."""

import collections
import dataclasses
import itertools
import os
import re

import keras
import numpy as np

from keras_wn.interop.keras2_files import StoredLayer
from keras_wn.interop.stored_weight import named_leaves, normalized_kernels
from keras_wn.layers.kernels import kernels_of
from keras_wn.layers.wrapped import automatic_number

_TRANSPOSES = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


@dataclasses.dataclass(frozen=True)
class Target:
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


# Targets and the stored layers that they are loaded from. At least one of the lists has one item.
Group = tuple[list[Target], list[StoredLayer]]


def targets_of(model: keras.Model) -> list[Target]:
    """The leaves of a built model that have weights, in its order."""
    return [_target(leaf) for leaf in named_leaves(model)]


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
    return Target(leaf.name, variables, normalized, transposed, is_given)


def _kernels_in(layers, classes):
    chosen = [layer for layer in layers if isinstance(layer, classes)]
    return {id(kernel.variable) for layer in chosen for kernel in kernels_of(layer)}


def _own_name(name):
    """The name of a weight; the same for all weights that Keras had to name."""
    return "variable" if re.fullmatch(r"[Vv]ariable(_\d+)?", name) else name


def match(
    path: str | os.PathLike,
    targets: list[Target],
    stored: list[StoredLayer],
    names: dict[str, str],
) -> tuple[list[Group], list[str]]:
    """Finds the stored layers that each target is loaded from.

    Args:
        path: The file, for messages.
        targets: List of `Target`, in the order of the model.
        stored: List of `StoredLayer`, in the order of the file.
        names: Dict from names of targets to names of stored layers, which are matched so.

    Returns:
        Pair of the groups, and the names of the variables of a checkpoint that are not those of its
        only model.

    Raises:
        ValueError: If targets and stored layers do not correspond.
    """
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
        return []  # Keras derived these names from the classes, in another order.
    return found


def _check_order(groups, stored):
    """Raises for a target that has the name of a stored layer, but is loaded from another one."""
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
        if expected != collections.Counter(own for _, own, _ in weights_of([target], [layer])):
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
        while len(some) == 1 and stored and _count(some) > len(weights_of(some, layers)):
            layers.append(stored.popleft())
        while len(layers) == 1 and targets and _count(some) < len(weights_of(some, layers)):
            some.append(targets.popleft())
        _check_names(some, layers)
        groups.append((some, layers))
    return None if targets or stored else groups


def _count(targets):
    return sum(len(target.variables) for target in targets)


def weights_of(
    targets: list[Target], layers: list[StoredLayer]
) -> list[tuple[StoredLayer, str, np.ndarray]]:
    """Triples of a stored layer, a weight's own name and its array; without g that is a gain."""
    with_g = any(target.has_weight_g for target in targets)
    found = [(layer, _own_name(own), array) for layer in layers for own, array in layer.weights]
    return [item for item in found if with_g or item[1] != "g"]


def _check_names(targets, layers):
    expected = [name for target in targets for name, _ in target.variables]
    given = [own for _, own, _ in weights_of(targets, layers)]
    # Only the names tell which weight belongs to which of several targets of one layer.
    owners = collections.Counter()
    for target in targets:
        owners.update({name for name, _ in target.variables})
    if max(owners.values()) > 1 or collections.Counter(expected) != collections.Counter(given):
        raise ValueError(
            f"load_tfa_weights: layer '{targets[0].name}' expected the weights {expected}. "
            f"Received of '{layers[0].name}': {given}."
        )
