"""Runs a layer's own `call` while some of its variables read as other tensors: the one mechanism of the layers."""

import contextlib
import functools

import keras
from keras import ops
from keras.src import backend  # Not exported by Keras, nor are the next four.
from keras.src.backend import AutocastScope
from keras.src.backend.common.global_state import get_global_attribute, set_global_attribute
from keras.src.backend.common.variables import get_autocast_scope
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell

_RECOMPUTING = "keras_wn_recomputing"


def full_precision():
    """Scope in which variables read in their own dtype, not in the policy's compute dtype."""
    return AutocastScope(None)


def call_substituted(layer, call, substitutes, *args, **kwargs):
    """`call(*args, **kwargs)`, with each variable in `substitutes` reading as the tensor beside it.

    Nothing is assigned to the substituted variables. Updates that `call` makes to others (random seeds, moving
    statistics) and losses that it adds are kept, as if it had run outside.

    Args:
        layer: Keras layer whose variables `call` reads.
        call: Function to run, for example the parent class's `call`.
        substitutes: Dict from `id(variable)` to a tensor of the variable's shape.
        *args, **kwargs: What `call` takes.

    Returns:
        What `call` returns.
    """
    with full_precision():
        mapping = [(v, substitutes[id(v)] if id(v) in substitutes else v.value) for v in layer.variables]
    outputs, losses, updates = _call_with(layer, call, mapping, args, kwargs)
    _apply(losses, [(variable, value) for variable, value in updates if id(variable) not in substitutes])
    return outputs


def call_recomputed(layer, call, *args, **kwargs):
    """`call(*args, **kwargs)`, which the backward pass computes again instead of keeping its intermediate results.

    `keras.RematScope` does this by `keras.remat(layer.call)`, which on TensorFlow and PyTorch runs the call again outside of all
    scopes: variables would read as stored and not as substituted, and the call would not know the compute dtype, the masks of its
    inputs, and whether it trains. Here the values of all variables are arguments, and these three are restored.

    Args:
        layer: Keras layer whose variables `call` reads.
        call: Function to run: the layer's `call`.
        *args, **kwargs: What `call` takes.

    Returns:
        What `call` returns.
    """
    variables = layer.variables
    with full_precision():
        # Statistics and random seeds are copied, since the call itself may change them before the backward pass.
        values = [ops.convert_to_tensor(v.value) if v.trainable else ops.copy(v.value) for v in variables]
    given = (values, args, kwargs)
    leaves = keras.tree.flatten(given)
    # Integers have no gradient. They are constants of the function, as everything else that is no tensor.
    floats = [i for i, leaf in enumerate(leaves) if backend.is_tensor(leaf) and backend.is_float_dtype(leaf.dtype)]
    autocast, call_context = get_autocast_scope(), get_global_attribute("current_call_ctx")
    losing_layers, updated = [], []

    def run(*tensors):
        for cell in layer._flatten_layers():
            if isinstance(cell, DropoutRNNCell):
                # PyTorch ends a recomputation as soon as it has what it needs, and the cell would keep its masks for the next step.
                cell.reset_dropout_mask()
                cell.reset_recurrent_dropout_mask()
        filled = list(leaves)
        for i, tensor in zip(floats, tensors, strict=True):
            if (mask := backend.get_keras_mask(leaves[i])) is not None:
                backend.set_keras_mask(tensor, mask)
            filled[i] = tensor
        values, args, kwargs = keras.tree.pack_sequence_as(given, filled)
        with (
            AutocastScope(autocast and autocast.dtype),
            _global_attribute("current_call_ctx", call_context),
            _global_attribute(_RECOMPUTING, True),
        ):
            mapping = list(zip(variables, values, strict=True))
            outputs, losses, updates = _call_with(layer, call, mapping, args, kwargs)
        losing_layers[:] = [owner for owner, _ in losses]
        updated[:] = [variable for variable, _ in updates]
        return outputs, [loss for _, loss in losses], [value for _, value in updates]

    outputs, losses, values = keras.remat(run)(*(leaves[i] for i in floats))
    _apply(zip(losing_layers, losses, strict=True), zip(updated, values, strict=True))
    return outputs


def rematerialized(layer, keras_own, call, *args, **kwargs):
    """A layer's `rematerialized_call`: by `call_recomputed` wherever Keras would recompute the call.

    Args:
        layer: Keras layer.
        keras_own: Its `rematerialized_call` as Keras has it.
        call, *args, **kwargs: What that takes.

    Returns:
        Function that is called in the place of `call`.
    """
    # The sublayers of a layer that is recomputed are not recomputed a second time. A recurrent layer's cell keeps the masks of dropout,
    # which then are made again as they were.
    if get_global_attribute(_RECOMPUTING):
        return call
    chosen = keras_own(call, *args, **kwargs)
    # In the mode "activations" Keras recomputes the activation alone, which reads none of the kernels.
    if chosen is call or layer._remat_mode.mode == "activations":
        return chosen
    return functools.partial(call_recomputed, layer, call)


def _call_with(layer, call, mapping, args, kwargs):
    """Runs `call` with variables reading as mapped.

    Every variable must be mapped, not only the substituted: an enclosing stateless scope (the JAX trainer's, or a symbolic call's) is
    hidden inside this one, and its values with it.

    Returns:
        Triple of the outputs, the losses as pairs `(layer that added it, loss)`, and the updates as pairs `(variable, value)`.
    """
    enclosing = backend.get_stateless_scope() if backend.in_stateless_scope() else None
    collect_losses = enclosing is None or enclosing.collect_losses
    with contextlib.ExitStack() as stack:
        for sublayer in layer._flatten_layers(include_self=False):
            if sublayer._remat_mode is not None:
                keras_own = functools.partial(type(sublayer).rematerialized_call, sublayer)
                ours = functools.partial(rematerialized, sublayer, keras_own)
                stack.enter_context(_replaced_method(sublayer, "rematerialized_call", ours))
        scope = stack.enter_context(_RecordingScope(state_mapping=mapping, collect_losses=collect_losses))
        outputs = call(*args, **kwargs)
    layers = layer._flatten_layers()
    losses = [(next((owner for owner in layers if id(loss) in owner._loss_ids), layer), loss) for loss in scope.losses]
    for owner, loss in losses:
        # Once this tensor is freed, Python may give its id to another layer's loss.
        owner._loss_ids.discard(id(loss))
    return outputs, losses, [(variable, scope.get_current_value(variable)) for variable in scope.updated.values()]


def _apply(losses, updates):
    """Does outside of the scope what was done inside. A loss stays with the layer that added it, so that it counts once."""
    for variable, value in updates:
        variable.assign(value)
    for owner, loss in losses:
        owner.add_loss(loss)


class _RecordingScope(keras.StatelessScope):
    """Also knows which variables were updated: those of metrics and of recurrent states are not among a layer's own."""

    def __init__(self, **kwargs):
        self.updated = {}
        super().__init__(**kwargs)

    def add_update(self, update):
        self.updated[id(update[0])] = update[0]
        super().add_update(update)


@contextlib.contextmanager
def _global_attribute(name, value):
    """Scope in which one of Keras' global attributes, each thread's own, has a value."""
    before = get_global_attribute(name)
    set_global_attribute(name, value)
    try:
        yield
    finally:
        set_global_attribute(name, before)


def replaced_call(layer, call):
    """Scope in which `layer.call` is `call`: for eager procedures that must act as each layer runs."""
    return _replaced_method(layer, "call", call)


@contextlib.contextmanager
def _replaced_method(layer, name, method):
    before = vars(layer).get(name)
    setattr(layer, name, method)
    try:
        yield layer
    finally:
        delattr(layer, name)
        if before is not None:
            setattr(layer, name, before)
