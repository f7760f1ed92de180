"""Folds batch normalization into the layer before it."""

import collections
import itertools

import keras
from keras import layers, ops

from keras_wn.interop.rebuild import (
    compile_as,
    copy_into,
    copy_of,
    copy_state,
    is_graph,
    uncompiled,
)
from keras_wn.layers import MeanOnlyBatchNormalization
from keras_wn.layers.kernels import LINEAR, kernels_of


def fold_batch_norm(model):
    """A copy of a model whose linear layers include the batch normalization that follows them.

    `w' = w gamma / sqrt(variance + epsilon)`, `b' = (b - mean) gamma / sqrt(variance + epsilon) +
    beta`, with the moving statistics. Of mean-only batch normalization: `w' = w`, `b' = b - mean +
    beta`.

    Args:
        model: Built functional or Sequential model of plain Keras layers, nested ones allowed; left
            as it is.

    Returns:
        Keras model of the same kind and name, with the outputs that `model` has in inference.
    """
    folded = {id(layer): norm for layer, norm in _pairs(model)}
    dropped = {id(norm) for norm in folded.values()}
    copies = []

    def clone(layer):
        if is_graph(layer):
            return fold_batch_norm(layer)
        new = _with_bias(layer) if id(layer) in folded else copy_of(layer)
        copies.append((layer, new))
        return new

    if isinstance(model, keras.Sequential):
        kept = [layer for layer in model.layers if id(layer) not in dropped]
        rebuilt = keras.Sequential(
            [keras.Input(batch_shape=model.input_shape, dtype=model.input_dtype)], name=model.name
        )
        for layer in kept:
            rebuilt.add(clone(layer))
    else:
        with uncompiled(model):
            rebuilt = keras.models.clone_model(
                model, clone_function=clone, call_function=_skipping(copies, dropped)
            )
    for layer, new in copies:
        if id(layer) in folded:
            _fold(layer, folded[id(layer)], new)
        elif id(layer) not in dropped and isinstance(layer, layers.Layer):
            copy_state(layer, new)
    compile_as([(model, rebuilt)])
    return rebuilt


def _skipping(copies, dropped):
    def call(new, *args, **kwargs):
        original = next((layer for layer, copy in copies if copy is new), None)
        return args[0] if id(original) in dropped else new(*args, **kwargs)

    return call


def _with_bias(layer):
    return type(layer).from_config({**layer.get_config(), "use_bias": True})


def _pairs(model):
    """Layers and the batch normalizations that alone take their output."""
    if isinstance(model, keras.Sequential):
        candidates = itertools.pairwise(model.layers)
    else:
        candidates = _connected_once(model)
    uses = collections.Counter(map(id, model.layers))
    return [(a, b) for a, b in candidates if _foldable(a, b) and uses[id(a)] == uses[id(b)] == 1]


def _connected_once(model):
    """Pairs of layers of which the second alone takes the only output of the first."""
    consumers, calls = {}, {}
    for node in itertools.chain(*model._nodes_by_depth.values()):
        calls.setdefault(id(node.operation), []).append(node)
        for tensor in node.input_tensors:
            consumers.setdefault(id(tensor), []).append(node.operation)
    outputs = {id(tensor) for tensor in keras.tree.flatten(model.outputs)}
    for nodes in calls.values():
        if len(nodes) == 1 and len(nodes[0].outputs) == 1:
            tensor = nodes[0].outputs[0]
            after = consumers.get(id(tensor), [])
            if len(after) == 1 and len(calls[id(after[0])]) == 1 and id(tensor) not in outputs:
                # With training=True it normalizes by the batch, also in inference.
                if not calls[id(after[0])][0].arguments.kwargs.get("training"):
                    yield nodes[0].operation, after[0]


def _foldable(layer, norm):
    # Subclasses may compute something else.
    if type(layer) not in LINEAR or type(norm) not in (
        layers.BatchNormalization,
        MeanOnlyBatchNormalization,
    ):
        return False
    rank = norm.input_spec.ndim
    channels = 1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1
    return layer.activation is keras.activations.linear and norm.axis % rank == channels


def _fold(layer, norm, new):
    kernel = kernels_of(new)[-1]
    with_names = {variable.name: variable for variable in layer.weights}
    for variable in new.weights:
        if variable.name in with_names:
            copy_into(variable, with_names[variable.name])
    dtype = "float64" if kernel.variable.dtype == "float64" else "float32"

    def read(variable):
        return ops.cast(variable, dtype)

    scale = _scale(norm, read)
    bias = -read(norm.moving_mean)
    if layer.use_bias:
        bias = bias + read(layer.bias)
    bias = bias * scale
    if norm.beta is not None:
        bias = bias + read(norm.beta)
    per_unit = ops.expand_dims(ops.reshape(scale, kernel.units_shape), kernel.fan_in)
    kernel.variable.assign(read(kernel.variable) * per_unit)
    new.bias.assign(bias)


def _scale(norm, read):
    if isinstance(norm, MeanOnlyBatchNormalization):
        return ops.ones_like(read(norm.moving_mean))
    scale = 1.0 / ops.sqrt(read(norm.moving_variance) + norm.epsilon)
    return scale * read(norm.gamma) if norm.scale else scale
