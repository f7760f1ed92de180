"""A layer's own variables in a Keras weights file, each under its name: v itself, and g."""


def save_by_name(layer, store):
    """Writes the layer's own variables into a Keras weights store, each under its name."""
    for variable in own_variables(layer):
        store[variable.name] = variable


def load_by_name(layer, store):
    """Reads what `save_by_name` wrote.

    Raises:
        ValueError: If names or shapes differ; then nothing is assigned.
    """
    expected = {variable.name: variable for variable in own_variables(layer)}
    if set(store.keys()) != set(expected):
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}) expected the variables {sorted(expected)}, "
            f"but the weights file holds {sorted(store.keys())}."
        )
    for name, variable in expected.items():
        if tuple(store[name].shape) != tuple(variable.shape):
            raise ValueError(
                f"Layer '{layer.name}' expected variable '{name}' of shape {tuple(variable.shape)}, "
                f"but the weights file holds shape {tuple(store[name].shape)}."
            )
    for name, variable in expected.items():
        variable.assign(store[name])


def own_variables(layer):
    """Weights of a layer that are not its sublayers'."""
    return layer._trainable_variables + layer._non_trainable_variables
