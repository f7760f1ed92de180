"""Reads TensorFlow's checkpoints, which SavedModels hold too. Imported only where one is read: it needs TensorFlow."""

import re

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from keras_wn.interop.tfa import files

# What TensorFlow raises for a file that is none of its checkpoints, or cut off.
ERRORS = (tf.errors.OpError, ValueError, RuntimeError)


def read(prefix):
    """Weights of a Keras 2 model's checkpoint, as `files.read` returns them."""
    reader = tf.train.load_checkpoint(prefix)
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    # The layers' order is in the keys, their names and those of their weights in the variables' full names.
    order, found = {}, {}
    for node in graph.nodes:
        for attribute in node.attributes:
            key, name = attribute.checkpoint_key, attribute.full_name
            if not name or not re.match(r"(layer_with_weights-\d+|variables/\d+)", key):
                continue
            found[name] = reader.get_tensor(key)
            if number := re.match(r"layer_with_weights-(\d+)", key):
                order[name.partition("/")[0]] = int(number[1])
    if not order:
        raise ValueError("it holds no layers of Keras 2")
    layers = dict(files.by_layer(found.items()))
    return [(name, layers[name]) for name in sorted(order, key=order.get)]
