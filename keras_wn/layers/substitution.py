"""Runs the `call` of a layer while some of its variables read as other tensors.

All weight-normalized layers work this way: the variable of a kernel holds v, and the layer's own
`call` reads the effective weight w from it.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from keras import ops
from keras.src import backend  # Not exported by Keras, nor are the next four.
from keras.src.backend import AutocastScope
from keras.src.backend.common.global_state import get_global_attribute, set_global_attribute
from keras.src.backend.common.variables import get_autocast_scope
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell

from keras_wn.reparameterizations.weight_norm import Tensor

# The global attribute of Keras that is set while a call runs inside `call_recomputed`.
_RECOMPUTING = "keras_wn_recomputing"


def full_precision() -> contextlib.AbstractContextManager:
    """Opens a scope in which variables have their own dtype, not the compute dtype.

    They must be assigned in such a scope as well: inside the call of a layer with mixed precision,
    `assign` has no effect on PyTorch.
    """
    # In `AutocastScope(None)`, the dtype of every variable would be Keras' default, float32.
    return global_attribute("autocast_scope", None)


def read_dtype(variable: keras.Variable) -> str:
    """Returns the dtype of `variable.value`: the compute dtype in the call of a layer."""
    scope = get_autocast_scope()
    if scope is not None and scope.dtype is None:
        with full_precision():
            return variable.dtype
    return variable.dtype


def call_substituted(
    layer: keras.layers.Layer, call: Callable, substitutes: Mapping[int, Tensor], *args, **kwargs
) -> Any:
    """Calls `call(*args, **kwargs)` while each variable in `substitutes` reads as another tensor.

    The substituted variables keep their values. Updates that `call` makes to other variables, such
    as random seeds and moving statistics, and losses that it adds take effect as usual.

    Args:
        layer: Keras layer whose variables `call` reads.
        call: Function to run, for example the `call` of the parent class.
        substitutes: Dict from `id(variable)` to a tensor of the shape of the variable.
        *args: Positional arguments of `call`.
        **kwargs: Keyword arguments of `call`.

    Returns:
        The outputs of `call`.
    """
    with full_precision():
        mapping = [
            (v, substitutes[id(v)] if id(v) in substitutes else v.value) for v in layer.variables
        ]
    outputs, losses, updates = _call_with(layer, call, mapping, args, kwargs)
    _apply(losses, [(v, value) for v, value in updates if id(v) not in substitutes])
    return outputs


def call_recomputed(layer: keras.layers.Layer, call: Callable, *args, **kwargs) -> Any:
    """Calls `call(*args, **kwargs)` so that the backward pass recomputes its intermediate results.

    `keras.RematScope` does the same by `keras.remat(layer.call)`. On TensorFlow and PyTorch, this
    runs the call a second time outside of all scopes: variables would read as stored and not as
    substituted, and the call would not know the compute dtype, the masks of its inputs, or whether
    it is in training. Here, the values of all variables are arguments of the recomputed function,
    and the compute dtype, the masks and the call context are restored in it.

    Args:
        layer: Keras layer whose variables `call` reads.
        call: Function to run: the layer's `call`.
        *args: Positional arguments of `call`.
        **kwargs: Keyword arguments of `call`.

    Returns:
        The outputs of `call`.
    """
    variables = layer.variables
    with full_precision():
        # Copy statistics and random seeds, because the call may change them before the backward
        # pass.
        values = [
            ops.convert_to_tensor(v.value) if v.trainable else ops.copy(v.value) for v in variables
        ]
    given = (values, args, kwargs)
    leaves = keras.tree.flatten(given)
    # Only tensors of floats become arguments. Integers have no gradient; like everything that is
    # not a tensor, they are constants of the function.
    float_indices = [
        i
        for i, leaf in enumerate(leaves)
        if backend.is_tensor(leaf) and backend.is_float_dtype(leaf.dtype)
    ]
    autocast, call_context = get_autocast_scope(), get_global_attribute("current_call_ctx")
    losing_layers, updated = [], []

    def run(*tensors):
        for cell in layer._flatten_layers():
            if isinstance(cell, DropoutRNNCell):
                # PyTorch stops a recomputation as soon as it has the tensors that it needs, so
                # that the cell would keep its dropout masks for the next step.
                cell.reset_dropout_mask()
                cell.reset_recurrent_dropout_mask()
        filled = list(leaves)
        for i, tensor in zip(float_indices, tensors, strict=True):
            if (mask := backend.get_keras_mask(leaves[i])) is not None:
                backend.set_keras_mask(tensor, mask)
            filled[i] = tensor
        values, args, kwargs = keras.tree.pack_sequence_as(given, filled)
        with (
            AutocastScope(autocast and autocast.dtype),
            global_attribute("current_call_ctx", call_context),
            global_attribute(_RECOMPUTING, True),
        ):
            mapping = list(zip(variables, values, strict=True))
            outputs, losses, updates = _call_with(layer, call, mapping, args, kwargs)
        losing_layers[:] = [owner for owner, _ in losses]
        updated[:] = [variable for variable, _ in updates]
        return outputs, [loss for _, loss in losses], [value for _, value in updates]

    outputs, losses, values = keras.remat(run)(*(leaves[i] for i in float_indices))
    _apply(zip(losing_layers, losses, strict=True), zip(updated, values, strict=True))
    return outputs


def rematerialized(
    layer: keras.layers.Layer, keras_method: Callable, call: Callable, *args, **kwargs
) -> Callable:
    """Implements `rematerialized_call` of a layer by `call_recomputed`.

    Args:
        layer: Keras layer.
        keras_method: The layer's `rematerialized_call` as Keras defines it, which decides whether
            the call is recomputed.
        call: Function to run: the layer's `call`.
        *args: Positional arguments of `call`.
        **kwargs: Keyword arguments of `call`.

    Returns:
        Function to call instead of `call`.
    """
    # Do not recompute the sublayers of a recomputed layer a second time.
    if get_global_attribute(_RECOMPUTING):
        return call
    chosen = keras_method(call, *args, **kwargs)
    # In the mode "activations", Keras recomputes only the activation, which reads no kernel.
    if chosen is call or layer._remat_mode.mode == "activations":
        return chosen
    return functools.partial(call_recomputed, layer, call)


def _call_with(layer, call, mapping, args, kwargs):
    """Runs `call` while variables read as they are mapped.

    `mapping` must contain every variable of the layer and not only the substituted ones. The scope
    that this function opens hides an enclosing stateless scope, for example that of the JAX
    trainer, and with it the values that the enclosing scope has for the variables.

    Returns:
        Triple of the outputs, the losses as pairs `(layer that added the loss, loss)`, and the
        updates as pairs `(variable, value)`.
    """
    enclosing = backend.get_stateless_scope() if backend.in_stateless_scope() else None
    collect_losses = enclosing is None or enclosing.collect_losses
    with contextlib.ExitStack() as stack:
        for sublayer in layer._flatten_layers(include_self=False):
            if sublayer._remat_mode is not None:
                keras_method = functools.partial(type(sublayer).rematerialized_call, sublayer)
                method = functools.partial(rematerialized, sublayer, keras_method)
                stack.enter_context(_replaced_method(sublayer, "rematerialized_call", method))
        scope = stack.enter_context(_RecordingScope(mapping, collect_losses))
        outputs = call(*args, **kwargs)
    layers = layer._flatten_layers()
    losses = [
        (next((owner for owner in layers if id(loss) in owner._loss_ids), layer), loss)
        for loss in scope.losses
    ]
    for owner, loss in losses:
        # Forget the id. Once this tensor is freed, Python may give it to another layer's loss.
        owner._loss_ids.discard(id(loss))
    updates = [(variable, scope.get_current_value(variable)) for variable in scope.updated.values()]
    return outputs, losses, updates


def _apply(losses, updates):
    """Applies updates and losses of `_call_with` outside of its scope.

    Each loss is added by the layer that it came from, so that it counts once.
    """
    with full_precision():
        for variable, value in updates:
            variable.assign(value)
    for owner, loss in losses:
        owner.add_loss(loss)


class _RecordingScope(keras.StatelessScope):
    """Stateless scope that records which variables were updated.

    The variables of metrics and the states of recurrent layers are not among a layer's variables.
    """

    def __init__(self, mapping, collect_losses):
        super().__init__(collect_losses=collect_losses)
        self.updated = {}
        # Keras' own argument would cast each value to the compute dtype of the layer that is being
        # called, even those that its sublayers read in float32.
        self.state_mapping = {id(v): ops.convert_to_tensor(value) for v, value in mapping}

    def add_update(self, update):
        self.updated[id(update[0])] = update[0]
        super().add_update(update)


@contextlib.contextmanager
def global_attribute(name: str, value: Any) -> Iterator[None]:
    """Opens a scope in which one of Keras' global attributes has a value, in this thread."""
    before = get_global_attribute(name)
    set_global_attribute(name, value)
    try:
        yield
    finally:
        set_global_attribute(name, before)


def replaced_call(
    layer: keras.layers.Layer, call: Callable
) -> contextlib.AbstractContextManager[keras.layers.Layer]:
    """Opens a scope in which `layer.call` is `call`, so that eager code can watch a layer run."""
    return _replaced_method(layer, "call", call)


@contextlib.contextmanager
def _replaced_method(
    layer: keras.layers.Layer, name: str, method: Callable
) -> Iterator[keras.layers.Layer]:
    before = vars(layer).get(name)
    setattr(layer, name, method)
    try:
        yield layer
    finally:
        delattr(layer, name)
        if before is not None:
            setattr(layer, name, before)
