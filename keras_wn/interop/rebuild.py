"""A model rebuilt layer by layer, with some layers replaced and all weights carried over."""

import keras
from keras.src.models import Functional  # Not exported by Keras: what `keras.Model(inputs, outputs)` makes.


def rebuild(model, replace, carry):
    """Clone of a functional or Sequential model in which `replace` chooses each layer.

    Args:
        model: Built functional or Sequential Keras model, nested ones allowed; left as it is.
        replace: Function from a layer to the new, unbuilt layer that takes its place.
        carry: Function `(layer, new_layer)` that gives a built new layer its weights.

    Returns:
        Keras model of the same kind and name.

    Raises:
        ValueError: If the model is of another kind, or not built.
    """
    if not isinstance(model, keras.Sequential | Functional):
        raise ValueError(
            f"Model '{model.name}' ({type(model).__name__}) is not allowed. Allowed: functional and Sequential models."
        )
    if not model.built:
        raise ValueError(f"Model '{model.name}' is not built. Call it on a batch, or give it an Input, first.")
    pairs = []

    def clone(layer):
        new = replace(layer)
        pairs.append((layer, new))
        return new

    rebuilt = keras.models.clone_model(model, clone_function=clone, recursive=True)
    if not rebuilt.built:
        rebuilt.build(model.input_shape)
    for layer, new in pairs:
        carry(layer, new)
    return rebuilt


def copy_of(layer):
    """A new, unbuilt layer of the same class and configuration."""
    return type(layer).from_config(layer.get_config())
