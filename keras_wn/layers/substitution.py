"""The one mechanism: run a layer's own `call` while some of its variables read as other tensors."""

import contextlib

import keras
from keras.src.backend import AutocastScope  # Not exported by Keras.


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
    # Every variable is mapped, not only the substituted: an enclosing stateless scope (the JAX trainer's, or a symbolic
    # call's) is hidden inside the inner one, and its values with it.
    with full_precision():
        mapping = [(v, substitutes[id(v)] if id(v) in substitutes else v.value) for v in layer.variables]
    with _RecordingScope(state_mapping=mapping, collect_losses=True) as scope:
        outputs = call(*args, **kwargs)
    for variable in scope.updated.values():
        if id(variable) not in substitutes:
            variable.assign(scope.get_current_value(variable))
    for loss in scope.losses:
        layer.add_loss(loss)
    return outputs


class _RecordingScope(keras.StatelessScope):
    """Also knows which variables were updated: those of metrics and of recurrent states are not among a layer's own."""

    def __init__(self, **kwargs):
        self.updated = {}
        super().__init__(**kwargs)

    def add_update(self, update):
        self.updated[id(update[0])] = update[0]
        super().add_update(update)


@contextlib.contextmanager
def replaced_call(layer, call):
    """Scope in which `layer.call` is `call`: for eager procedures that must act as each layer runs."""
    layer.call = call
    try:
        yield layer
    finally:
        del layer.call
