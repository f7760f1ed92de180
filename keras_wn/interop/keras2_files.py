"""Reads the weights in files of Keras 2: HDF5 files, checkpoints of TensorFlow, and SavedModels.

Only names and arrays are read from a file. TensorFlow is imported only when a checkpoint or a
SavedModel is read.
"""

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

# Keras 2 stores the weights of a model that belong to none of its layers under this name.
TOP = "top_level_model_weights"
# A model's configuration names TensorFlow Addons' wrapper by this class.
ADDONS_WRAPPER = "Addons>WeightNormalization"
# These weights are never trained. Keras 2 writes them after all trained weights.
_NEVER_TRAINED = {"initialized", "moving_mean", "moving_variance"}


@dataclasses.dataclass(frozen=True)
class StoredLayer:
    """The weights of one layer in a file.

    Attributes:
        name: Name of the layer after the names of the layers around it, as `block/conv`.
        weights: List of pairs of a weight's own name, as `kernel`, and an array. The g of a
            weight normalization is among them, and other variables of its wrapper are not.
        was_called: Whether a weight normalization was called before the file was written. If not,
            its g was not computed yet.
        part: In a checkpoint, the first object on the path to the layer. In a checkpoint of several
            models it is the model, and empty for variables of the checkpoint itself. None in other
            files.
        order_is_known: Whether the layers have the order of the model. It is not known if some
            layers were frozen.
        class_name: Class of the layer in the model's configuration. None if the file has none.
    """

    name: str
    weights: list[tuple[str, np.ndarray]]
    was_called: bool = True
    part: str | None = None
    order_is_known: bool = True
    class_name: str | None = None

    @classmethod
    def from_file(
        cls, name: str, weights: list[tuple[str, np.ndarray]], **known: Any
    ) -> "StoredLayer":
        """The layer with these weights, of which one may be the flag of the wrapper."""
        has_flag = {own for own, _ in weights} >= {"g", "initialized"}
        flags = [array for own, array in weights if own == "initialized" and has_flag]
        kept = [(own, array) for own, array in weights if not (own == "initialized" and has_flag)]
        return cls(name, kept, all(flags), **known)


def read(path: str | os.PathLike, prefix: str | None = None) -> list[StoredLayer]:
    """The weights of a Keras 2 file, layer by layer, without those of optimizers and metrics.

    Args:
        path: HDF5 file of a model or of its weights, SavedModel folder, or checkpoint prefix.
        prefix: Path of objects in a checkpoint, or of layers in an HDF5 file, that leads to the
            part to read, as `generator`. None: all.

    Returns:
        List of `StoredLayer`, in the order in which Keras 2 has the layers.

    Raises:
        ValueError: If the file is none of these or is damaged, or if nothing is at `prefix`.
    """
    path = pathlib.Path(path)
    if path.is_file():
        return _read_hdf5(path, prefix)
    checkpoint = path / "variables" / "variables" if path.is_dir() else path
    if not checkpoint.with_name(f"{checkpoint.name}.index").is_file():
        raise ValueError(_message(path, "there is no such file, SavedModel or checkpoint"))
    return _read_checkpoint(path, str(checkpoint), prefix)


def _message(path, reason):
    return (
        f"load_tfa_weights: cannot read {path}: {reason}. Allowed: a Keras 2 file name.h5 of a "
        "model or of its weights, a SavedModel's folder, a checkpoint's prefix, folder/ckpt-1."
    )


def _without_prefix(path, prefix, allowed):
    return f"load_tfa_weights: prefix={prefix!r} is not in {path}. Allowed: {allowed}."


def _read_hdf5(path, prefix):
    if path.suffix == ".keras":
        raise ValueError(_message(path, "it is in the newer format name.keras"))
    try:
        with h5py.File(path, "r") as file:
            layers = _layers_of_hdf5(file)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(_message(path, str(error).strip("'\""))) from error
    if prefix is None:
        return layers
    chosen = [layer for layer in layers if f"{layer.name}/".startswith(f"{prefix}/")]
    if not chosen:
        raise ValueError(_without_prefix(path, prefix, [layer.name for layer in layers]))
    return chosen


def _layers_of_hdf5(file):
    groups = file["model_weights"] if "model_weights" in file else file
    names = _names(groups, "layer_names")
    if not names:
        # Files name.weights.h5 of Keras 2 and 3 name no layers either.
        raise ValueError("it names no layers, as Keras 2 does in name.h5 but not name.weights.h5")
    classes = _class_names(json.loads(file.attrs.get("model_config", "null")))
    layers = []
    for group in [TOP, *names] if TOP in groups else names:
        weights = [
            (name.removesuffix(":0"), _array(file, groups[group], name))
            for name in _names(groups[group], "weight_names")
        ]
        layers += _layers_of_group(group, weights, classes)
    return layers


def _names(group, attribute):
    """A list of names, which Keras 2 splits over several attributes if it is long."""
    parts = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(parts)}" in group.attrs:
        parts.append(f"{attribute}{len(parts)}")
    values = [value for part in parts for value in group.attrs[part]]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _array(file, group, name):
    item = group[name]
    # HDF5 can point to other files, which a file of weights has no reason to do.
    elsewhere = item.file.filename != file.filename
    if not isinstance(item, h5py.Dataset) or elsewhere or item.external or item.is_virtual:
        raise ValueError(f"array '{name}' is not in the file itself")
    if item.dtype.kind not in "biuf":
        raise ValueError(f"array '{name}' is of {item.dtype}, which are no numbers")
    return item[()]


def _class_names(config):
    """Dict from a layer's name to the classes that a model's configuration has under it."""
    found = collections.defaultdict(set)
    parts = [config]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            parts += part.values()
            if isinstance(part.get("config"), dict):
                found[part["config"].get("name")].add(part.get("class_name"))
    return found


def _layers_of_group(group, weights, classes):
    """The layers in a group of an HDF5 file, which holds one layer with all the layers in it.

    The group lists all trained weights, then all others. The scopes in the names of the weights
    tell the layers apart.
    """
    own_names = collections.defaultdict(set)
    for name, _ in weights:
        scope, _, own = name.rpartition("/")
        own_names[scope].add(own)
    kept, scopes = collections.defaultdict(list), []
    for name, array in weights:
        scope, _, own = name.rpartition("/")
        parts = scope.split("/")
        is_copy = "data_dep_init" in parts
        if is_copy:
            scope = "/".join(parts[: parts.index("data_dep_init")])
        outer = scope.rpartition("/")[0]
        if "g" in own_names[outer] and "kernel" not in own_names[outer]:
            # In a recurrent layer, the wrapper has g, and the cell has the kernels.
            scope = outer
        scopes.append(scope)
        if not is_copy:
            kept[scope].append((own, array))
    # The trained weights of frozen layers come after those of all other layers, out of order. This
    # shows in layers that also have weights that are never trained, which are in the right order.
    marked = {scope for scope in kept if own_names[scope] & _NEVER_TRAINED}
    first = [scope for scope in dict.fromkeys(scopes) if scope in marked]
    last = [scope for scope in dict.fromkeys(reversed(scopes)) if scope in marked]
    layers = []
    for scope, own_weights in kept.items():
        name = _name_in_group(group, scope)
        class_names = classes[name.rpartition("/")[2]]
        known = {"order_is_known": first == last[::-1]}
        if len(class_names) == 1:
            known["class_name"] = next(iter(class_names))
        layers.append(StoredLayer.from_file(name, own_weights, **known))
    return layers


def _name_in_group(group, scope):
    parts = scope.split("/") if scope else []
    return "/".join(parts[parts.index(group) :] if group in parts else [group, *parts])


# These objects in checkpoints hold no weights of layers, or hold them a second time.
_PASSED_OVER = {
    "_naked_clone_layer",  # TensorFlow Addons makes this copy for data_init=True.
    "_random_generator",
    "keras_api",
    "non_trainable_variables",
    "save_counter",
    "signatures",
    "trainable_variables",
    "variables",
}
_OF_METRICS = {
    "total",
    "count",
    "true_positives",
    "true_negatives",
    "false_positives",
    "false_negatives",
}


def _read_checkpoint(path, checkpoint, prefix):
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(f"reading {path} needs TensorFlow: pip install tensorflow") from error
    # TensorFlow raises these for files that are no checkpoints, or damaged ones.
    errors = (tf.errors.OpError, ValueError, RuntimeError, LookupError, TypeError)
    try:
        objects = _read_objects(checkpoint)
        layers = objects.layers()
        if not layers:
            raise ValueError("it holds no layers of Keras 2")
    except errors as error:
        raise ValueError(_message(path, " ".join(str(error).split()))) from error
    if prefix is None:
        return layers
    chosen = objects.layers(prefix)
    if not chosen:
        allowed = [name for name in objects.children(0) if objects.layers(name)]
        raise ValueError(_without_prefix(path, prefix, allowed))
    return chosen


def _read_objects(checkpoint):
    import tensorflow as tf
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    reader = tf.train.load_checkpoint(checkpoint)
    # Reads all arrays, those of optimizers as well, to find a file that is cut short.
    arrays = {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()}
    graph = arrays.get("_CHECKPOINTABLE_OBJECT_GRAPH")
    if graph is None:
        raise ValueError("it has variables by names alone, as tf.compat.v1.train.Saver writes")
    return _Objects(TrackableObjectGraph.FromString(graph).nodes, arrays)


class _Objects:
    """The objects of a checkpoint, by their numbers. An object has named objects and variables."""

    def __init__(self, nodes: Sequence[Any], arrays: dict[str, np.ndarray]) -> None:
        self._nodes = nodes
        self._arrays = arrays

    def children(self, node: int) -> dict[str, int]:
        """The objects in an object by name, in the order in which they became its attributes."""
        children = {child.local_name: child.node_id for child in self._nodes[node].children}
        return {name: child for name, child in children.items() if name not in _PASSED_OVER}

    def layers(self, prefix: str | None = None) -> list[StoredLayer]:
        """The layers in the object at a prefix, or in all objects."""
        node = 0
        for name in prefix.split("/") if prefix else ():
            node = self.children(node).get(name)
            if node is None or self._is_optimizer_or_metric(node):
                return []
        found = self._found(node, (), set())
        scopes = [self._variable(nodes[0]).full_name.rpartition("/")[0] for _, nodes in found]
        counts = collections.Counter(scopes)
        layers = []
        for scope, (path, nodes) in zip(scopes, found, strict=True):
            # The scope is the name in Keras, which several layers can have.
            name = scope if scope and counts[scope] == 1 else "/".join(path) or TOP
            weights = []
            for variable in [self._variable(node) for node in nodes]:
                own = variable.full_name.rpartition("/")[2]
                weights.append((own, self._arrays[variable.checkpoint_key]))
            part = path[0] if path else ""
            layers.append(
                StoredLayer.from_file(name, weights, part=part if prefix is None else None)
            )
        return layers

    def _found(self, node, path, seen):
        """Pairs of the path to a layer and its variables, in the order of the objects."""
        seen.add(node)
        children = self.children(node)
        own = {name: child for name, child in children.items() if self._variable(child)}
        if "g" in own and ("v" in own or "layer" in children):
            return [(path, self._variables_in(node, set()))]
        variables, found = dict.fromkeys(own.values()), []
        for name, child in children.items():
            if name in own or child in seen or self._is_optimizer_or_metric(child):
                continue
            items = self.children(child)
            if items and all(key.isdigit() and self._variable(item) for key, item in items.items()):
                # These are the items of a list of variables.
                variables |= dict.fromkeys(items.values())
            else:
                found += self._found(child, (*path, name), seen)
        return [(path, list(variables)), *found] if variables else found

    def _variables_in(self, node, seen):
        """The variables of a weight-normalized layer, each once: wrapper and layer share some."""
        seen.add(node)
        found = []
        for child in self.children(node).values():
            if child not in seen and self._variable(child):
                seen.add(child)
                found.append(child)
            elif child not in seen:
                found += self._variables_in(child, seen)
        return found

    def _is_optimizer_or_metric(self, node):
        children = {child.local_name: child.node_id for child in self._nodes[node].children}
        own = {name for name, child in children.items() if self._variable(child)}
        return (
            len(self._nodes[node].slot_variables) > 0
            or {"_iterations", "_variables"} <= set(children)
            or ("decay" in own and not own.isdisjoint({"iter", "learning_rate"}))
            or {"current_loss_scale", "good_steps"} <= own
            or (own <= _OF_METRICS and not own <= {"count"})
        )

    def _variable(self, node):
        """The name and key of a variable, or None for other objects."""
        attributes = self._nodes[node].attributes
        return next((found for found in attributes if found.name == "VARIABLE_VALUE"), None)
