"""Folds weight normalization into plain Keras layers, and batch normalization after it."""

import collections
import itertools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops
from keras.layers import Layer

from keras_wn import layers as layers_of_ours
from keras_wn.interop.rebuild import (
    check_built,
    compile_as,
    copy_into,
    copy_of,
    copy_state,
    copy_variables,
    is_graph,
    rebuild,
    replace_in_place,
    uncompiled,
    warn_of_class,
)
from keras_wn.interop.weight_norm_model import SUBCLASSES
from keras_wn.layers import (
    MeanOnlyBatchNormalization,
    ScalarBias,
    ScalarGain,
    WeightNormalization,
    gains,
)
from keras_wn.layers.kernels import LINEAR, kernels_of
from keras_wn.layers.reparameterized import Reparameterized
from keras_wn.layers.selection import call_scale, is_normalized_layer, selected
from keras_wn.layers.wrapped import named_kernels


def fold(
    model: keras.Model, fold_bn: bool = False, layers: Any = None, in_place: bool = False
) -> keras.Model:
    """A plain copy of a model: weight-normalized layers become Keras layers whose kernel is w.

    The outputs are the same. The copy is for inference and export: it computes no norms, and loads
    without custom objects. Regularizers and constraints of w stay, on the kernel. Others of this
    package, and its initializers, are dropped with the normalization. A `scale` that a layer of a
    functional model takes from `JoinWeights` or `SharedGain`, or a constant one, becomes part of
    its kernel. `ScalarGain`, `SkipInit` and `ScalarBias` become `keras.layers.Rescaling`, whose
    numbers are part of its configuration; in a subclassed model and in a layer of your own, whose
    configurations do not have these, they stay as they are, with their weights.
    `GhostBatchNormalization` becomes `keras.layers.BatchNormalization`, `GroupNormalization` that
    of Keras, and `BatchStatisticsNoise` the identity. `TReLU`, `NormalizedReLU`, `ScaledReLU` and
    the joins have no plain counterpart and stay as they are, as layers and as activations of
    layers.

    Args:
        model: Built Keras model, which may hold other models. It is left as it is. Of a subclassed
            model, and of a layer of your own around others, the layers that are its attributes are
            folded, alone or in lists and dicts. Its `call` must use these, not others that it keeps
            elsewhere, and use them as layers only.
        fold_bn: Boolean, whether batch normalization, mean-only ones as well, becomes part of the
            kernel and bias of the linear convolution or dense layer before it, as it acts in
            inference. It stays where it is not the only layer to take that layer's output.
        layers: The layers to fold: a name, a class, a function from a layer to a boolean, or a list
            of names and classes. The name or class of a model or of a layer around others stands
            for all layers in it. A function is not called with models and with your own layers
            around others. None: all.
        in_place: Boolean, whether the layers of a subclassed model are replaced in the model
            itself, which then needs no `get_config`. The model is returned.

    Returns:
        Keras model of the same kind and name, and of the same class if it is a subclass of
        functional models whose `from_config` gives the class back; if not, a warning says so. If
        `model` is compiled, so is this one, with a new optimizer; or it is left uncompiled with a
        warning if Keras cannot make its loss or metrics again. Where a layer of your own or a
        subclassed model holds folded layers, its `__init__` still makes the others: save such a
        model by its weights, or export it.

    Raises:
        ValueError: If the model is not built, if `layers` selects nothing, if `in_place=True` is
            given for a functional model, whose graph holds its layers, if a layer takes a
            `scale` from another layer than these, or if Keras cannot make the model, or a
            layer around others, again from its `get_config`. Also for a subclassed model with
            `fold_bn=True`, because Keras does not know the order of its layers.

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
            "not known. Allowed: functional and Sequential models."
        )
    replace, carry, call, opened, is_folded = folding(model, layers)
    if in_place:
        if is_graph(model):
            raise ValueError(
                f"fold: in_place=True on model '{model.name}' ({type(model).__name__}), whose "
                "graph holds its layers. Allowed: subclassed models."
            )

        def replace_or_keep(layer):
            if is_graph(layer) and opened(layer):
                return rebuild(layer, replace, carry, call, opened)
            return plain(layer) if is_folded(layer) else layer

        replace_in_place(model, replace_or_keep, carry, opened)
        return model
    folded = rebuild(model, replace, carry, call, opened)
    return _fold_batch_norms(folded) if fold_bn else folded


def folding(model: keras.Model, layers: Any = None) -> tuple[Callable, ...]:
    """The functions that `rebuild` needs to fold a model.

    Args:
        model: Built Keras model.
        layers: As in `fold`.

    Returns:
        Tuple of the functions `replace`, `carry`, `call` and `opened`, and of a function that tells
        whether a layer is folded.

    Raises:
        ValueError: If the model is not built, or `layers` selects no layer that can be folded.
    """
    check_built(model)
    # The configuration of such a container makes the layers in it anew, without the numbers that a
    # plain layer would have in its own configuration.
    in_weights = {
        id(part)
        for container in model._flatten_layers()
        if _is_made_by_its_class(container)
        for part in container._flatten_layers()
        if isinstance(part, ScalarGain | ScalarBias)
    }
    candidates = [layer for layer in _foldable(model) if id(layer) not in in_weights]
    can_be_folded = {id(layer) for layer in candidates}
    chosen = selected("fold", model, layers, candidates)

    def is_folded(layer):
        return id(layer) in can_be_folded and chosen(layer)

    def opened(layer):
        return not is_folded(layer) and any(map(is_folded, _foldable(layer)))

    def replace(layer):
        return plain(layer) if is_folded(layer) else copy_of(layer)

    def carry(layer, new):
        (carry_folded if is_folded(layer) else copy_state)(layer, new)

    return replace, carry, without_scale, opened, is_folded


def _foldable(layer):
    """The layers in a layer that have a plain counterpart, or itself."""
    if is_normalized_layer(layer) or type(layer) in _COUNTERPARTS:
        return [layer]
    return [part for sublayer in layer._layers for part in _foldable(sublayer)]


def _is_made_by_its_class(layer):
    """Whether the layers in a layer are made by its `__init__`, and not by its configuration."""
    return (
        bool(layer._layers)
        and not is_graph(layer)
        and not type(layer).__module__.startswith(("keras.", "keras_wn."))
    )


def plain(layer: Layer) -> Layer:
    """A new, unbuilt plain layer for a weight-normalized one, or a copy of another layer.

    Raises:
        ValueError: If a layer is weight-normalized in a way that has no plain counterpart.
    """
    if isinstance(layer, WeightNormalization):
        inner = layer.layer
        config = _plain_config(inner.get_config())
        return type(inner).from_config({**config, "name": layer.name, "trainable": layer.trainable})
    if type(layer) in _COUNTERPARTS:
        return _COUNTERPARTS[type(layer)](layer)
    if isinstance(layer, Reparameterized):
        call_scale(layer)  # This call raises for layers that cannot be folded.
        return _plain_subclass(layer)
    return copy_of(layer)


def plain_class(layer: Layer) -> type[Layer] | None:
    """The class of the plain layer that a weight-normalized layer folds to; `None` if none can."""
    if isinstance(layer, WeightNormalization):
        return type(layer.layer)
    try:
        call_scale(layer)
    except ValueError:
        return None
    return _FOLDED.get(type(layer))


def without_scale(layer: Layer, *args: Any, **kwargs: Any) -> Any:
    """Calls a layer of a folded model. A plain layer takes no `scale`, which is part of its w."""
    if type(layer) in _FOLDED.values():
        kwargs.pop("scale", None)
    if isinstance(layer, keras.layers.Activation):
        # `BatchStatisticsNoise` takes a mask, and its plain counterpart does not.
        kwargs.pop("mask", None)
    return layer(*args, **kwargs)


def carry_folded(layer: Layer, new: Layer) -> None:
    """Gives a plain layer the weights of the weight-normalized one, or of its original."""
    if type(layer) in _COUNTERPARTS and not new.weights:
        return  # The numbers are part of the configuration of the plain layer.
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


# Maps a weight-normalized class to the Keras class that computes the same from w.
_FOLDED = {
    **{subclass: keras_class for keras_class, subclass in SUBCLASSES.items()},
    layers_of_ours.NormPropDense: keras.layers.Dense,
    layers_of_ours.NormPropConv2D: keras.layers.Conv2D,
    layers_of_ours.BoundedWNConv2D: keras.layers.Conv2D,
    layers_of_ours.ScaledWSConv2D: keras.layers.Conv2D,
}


def _rescaling(layer, scale, offset):
    return keras.layers.Rescaling(
        float(ops.convert_to_numpy(scale)),
        float(ops.convert_to_numpy(offset)),
        name=layer.name,
        dtype=layer.dtype_policy,
    )


# Maps a layer that has no kernel to a function that makes the plain layer that computes the same in
# inference. The trained numbers of some become part of the configuration of the plain layer.
_COUNTERPARTS = {
    layers_of_ours.ScalarGain: lambda layer: _rescaling(layer, layer.factor * layer.g, 0.0),
    layers_of_ours.SkipInit: lambda layer: _rescaling(layer, layer.factor * layer.g, 0.0),
    layers_of_ours.ScalarBias: lambda layer: _rescaling(layer, 1.0, layer.factor * layer.bias),
    layers_of_ours.BatchStatisticsNoise: lambda layer: keras.layers.Activation(
        "linear", name=layer.name, dtype=layer.dtype_policy
    ),
    layers_of_ours.GroupNormalization: lambda layer: keras.layers.GroupNormalization.from_config(
        layer.get_config()
    ),
    layers_of_ours.GhostBatchNormalization: lambda layer: (
        keras.layers.BatchNormalization.from_config(
            {k: v for k, v in layer.get_config().items() if k != "ghost_batch"}
        )
    ),
}


def _plain_subclass(layer):
    if type(layer) not in _FOLDED:
        raise ValueError(
            f"fold: layer '{layer.name}' is a {type(layer).__name__}, which may compute something "
            "else than its base class. Allowed: the layer classes of keras_wn."
        )
    config = _plain_config(layer.get_config())
    for ours in ("use_gain", "gain_initializer", "trainable_gain", "log_gain", "center"):
        config.pop(ours, None)
    return _FOLDED[type(layer)].from_config(config)


def _plain_config(config):
    """A configuration without this package's regularizers, constraints and initializers.

    Regularizers and constraints of w become those of the kernel.
    """
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


def _fold_batch_norms(model):
    """A copy of a plain model in which batch normalization is part of the layers before it.

    `w' = w gamma / sqrt(variance + epsilon)` and
    `b' = (b - mean) gamma / sqrt(variance + epsilon) + beta`, with the moving statistics.
    Of mean-only batch normalization: `w' = w` and `b' = b - mean + beta`.
    """
    followers = {id(layer): batch_norm for layer, batch_norm in _foldable_pairs(model)}
    dropped = {id(batch_norm) for batch_norm in followers.values()}
    copies = []

    def clone(layer):
        if is_graph(layer):
            return _fold_batch_norms(layer)
        new = _with_bias(layer) if id(layer) in followers else copy_of(layer)
        copies.append((layer, new))
        return new

    def call(new, *args, **kwargs):
        original = next((layer for layer, copy in copies if copy is new), None)
        return args[0] if id(original) in dropped else new(*args, **kwargs)

    if isinstance(model, keras.Sequential):
        kept = [layer for layer in model.layers if id(layer) not in dropped]
        rebuilt = keras.Sequential(
            [keras.Input(batch_shape=model.input_shape, dtype=model.input_dtype)], name=model.name
        )
        for layer in kept:
            rebuilt.add(clone(layer))
    else:
        with uncompiled(model):
            rebuilt = keras.models.clone_model(model, clone_function=clone, call_function=call)
    rebuilt._trainable = model._trainable
    if type(rebuilt) is not type(model):
        warn_of_class(model, rebuilt, "it would make the batch normalizations again")
    for layer, new in copies:
        if id(layer) in followers:
            _carry_batch_norm(layer, followers[id(layer)], new)
        elif id(layer) not in dropped and isinstance(layer, Layer):
            copy_state(layer, new)
    compile_as([(model, rebuilt)])
    return rebuilt


def _with_bias(layer):
    return type(layer).from_config({**layer.get_config(), "use_bias": True})


def _foldable_pairs(model):
    """Pairs of a layer and the batch normalization that alone takes its output."""
    if isinstance(model, keras.Sequential):
        candidates = itertools.pairwise(model.layers)
    else:
        candidates = _connected_once(model)
    uses = collections.Counter(map(id, model.layers))
    return [(a, b) for a, b in candidates if _is_foldable(a, b) and uses[id(a)] == uses[id(b)] == 1]


def _connected_once(model):
    """Pairs of layers of a functional model: the second alone takes the only output of the first.

    Neither is called a second time.
    """
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
                # A call with training=True normalizes by the batch, also in inference.
                if not calls[id(after[0])][0].arguments.kwargs.get("training"):
                    yield nodes[0].operation, after[0]


def _is_foldable(layer, batch_norm):
    # A subclass may compute another function.
    if type(layer) not in LINEAR or type(batch_norm) not in (
        keras.layers.BatchNormalization,
        MeanOnlyBatchNormalization,
    ):
        return False
    rank = batch_norm.input_spec.ndim
    channels = 1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1
    return layer.activation is keras.activations.linear and batch_norm.axis % rank == channels


def _carry_batch_norm(layer, batch_norm, new):
    kernel = kernels_of(new)[-1]
    by_name = {variable.name: variable for variable in layer.weights}
    for variable in new.weights:
        if variable.name in by_name:
            copy_into(variable, by_name[variable.name])
    dtype = "float64" if kernel.variable.dtype == "float64" else "float32"

    def read(variable):
        return ops.cast(variable, dtype)

    factor = ops.ones_like(read(batch_norm.moving_mean))
    if not isinstance(batch_norm, MeanOnlyBatchNormalization):
        factor = 1.0 / ops.sqrt(read(batch_norm.moving_variance) + batch_norm.epsilon)
        factor = factor * read(batch_norm.gamma) if batch_norm.scale else factor
    bias = -read(batch_norm.moving_mean)
    if layer.use_bias:
        bias = bias + read(layer.bias)
    bias = bias * factor
    if batch_norm.beta is not None:
        bias = bias + read(batch_norm.beta)
    per_unit = ops.expand_dims(ops.reshape(factor, kernel.units_shape), kernel.fan_in)
    kernel.variable.assign(read(kernel.variable) * per_unit)
    new.bias.assign(bias)
