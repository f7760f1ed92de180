"""Reads the layers in TensorFlow's checkpoints of Keras 2 models, which SavedModels hold as well.

Imported only where a checkpoint is read, since it needs TensorFlow.
"""

import collections

import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from keras_wn.interop.keras2_files import TOP, StoredLayer

# Raised for files that are no checkpoints, or damaged ones.
ERRORS = (tf.errors.OpError, ValueError, RuntimeError, LookupError, TypeError)
# Objects in checkpoints that hold no weights of layers, or hold them a second time.
_PASSED_OVER = {
    "_naked_clone_layer",  # The copy that TensorFlow Addons makes for data_init=True.
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


def read_objects(checkpoint):
    """The objects of the checkpoint at a prefix.

    Raises:
        ERRORS: If it is no checkpoint of objects, or damaged.
    """
    reader = tf.train.load_checkpoint(checkpoint)
    # All arrays, those of optimizers as well, which finds a file that is cut short.
    arrays = {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()}
    graph = arrays.get("_CHECKPOINTABLE_OBJECT_GRAPH")
    if graph is None:
        raise ValueError("it has variables by names alone, as tf.compat.v1.train.Saver writes")
    return Objects(TrackableObjectGraph.FromString(graph).nodes, arrays)


class Objects:
    """The objects of a checkpoint, by numbers: an object has others by names, and variables."""

    def __init__(self, nodes, arrays):
        self._nodes = nodes
        self._arrays = arrays

    def children(self, node):
        """Dict from names to the objects in an object, in the order in which they got there."""
        children = {child.local_name: child.node_id for child in self._nodes[node].children}
        return {name: child for name, child in children.items() if name not in _PASSED_OVER}

    def layers(self, prefix=None):
        """List of `StoredLayer` from an object on; empty if there is none."""
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
            # The name that the layer has in Keras; it may not be the only one of that name.
            name = scope if scope and counts[scope] == 1 else "/".join(path) or TOP
            weights = []
            for variable in [self._variable(node) for node in nodes]:
                own = variable.full_name.rpartition("/")[2]
                weights.append((own, self._arrays[variable.checkpoint_key]))
            part = path[0] if path else ""
            layers.append(StoredLayer.of(name, weights, part=part if prefix is None else None))
        return layers

    def _found(self, node, path, seen):
        """Pairs of the path to a layer and its variables, an object's own before all in it."""
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
                # A list of variables.
                variables |= dict.fromkeys(items.values())
            else:
                found += self._found(child, (*path, name), seen)
        return [(path, list(variables)), *found] if variables else found

    def _variables_in(self, node, seen):
        """Variables of a weight-normalized layer, some of which the wrapper and the layer have."""
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
        """Name and key of a variable; None of other objects."""
        attributes = self._nodes[node].attributes
        return next((found for found in attributes if found.name == "VARIABLE_VALUE"), None)
