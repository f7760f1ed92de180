"""A model rebuilt layer by layer, with some layers replaced and all weights carried over."""

import functools
import tempfile

import keras
from keras.src.models import Functional  # Not exported by Keras: what `keras.Model(inputs, outputs)` makes.

from keras_wn.layers import WeightNormalization


def rebuild(model, replace, carry, call=None):
    """Clone of a model in which `replace` chooses each layer, and `carry` gives it its weights.

    Args:
        model: Built Keras model; left as it is.
        replace: Function from a layer to the new, unbuilt layer that takes its place.
        carry: Function `(layer, new_layer)` that gives a built new layer its weights.
        call: Function `(new_layer, *args, **kwargs)` that calls a new layer in a functional model. None: just that.

    Returns:
        Keras model of the same kind and name; compiled with a new optimizer if `model` is compiled.

    Raises:
        ValueError: As `rebuild_pairs`.
    """
    rebuilt, pairs = rebuild_pairs(model, replace, call)
    for layer, new in pairs:
        carry(layer, new)
    return rebuilt


def rebuild_pairs(model, replace, call=None):
    """Clone of a model in which `replace` chooses each layer.

    In functional and Sequential models every layer of the graph can be replaced, those of nested models among them. A
    subclassed model is made again by its `get_config`, and the layers that are its attributes, alone or in lists and dicts, are
    replaced: its `call` must use them as layers only.

    Args:
        model: Built Keras model; left as it is.
        replace: Function from a layer to the new, unbuilt layer that takes its place.
        call: As in `rebuild`.

    Returns:
        The model, with weights of its own, and the pairs of a built layer and its new one.

    Raises:
        ValueError: If the model is not built, or is a subclassed one that Keras cannot make again.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"model={model!r} is not allowed. Allowed: a Keras model.")
    if not model.built:
        raise ValueError(f"Model '{model.name}' is not built. Call it on a batch, or give it an Input, first.")
    pairs, replaced = [], {}

    def clone(layer):
        if id(layer) not in replaced:
            if isinstance(layer, keras.Model):
                replaced[id(layer)] = _rebuilt(layer, clone, call)
                return replaced[id(layer)]
            replaced[id(layer)] = replace(layer) if isinstance(layer, keras.layers.Layer) else copy_of(layer)
            pairs.append((layer, replaced[id(layer)]))
        return replaced[id(layer)]

    rebuilt = _rebuilt(model, clone, call)
    # A functional model's graph also holds operations that are no layers.
    return rebuilt, [(layer, new) for layer, new in pairs if isinstance(layer, keras.layers.Layer) and layer.built]


def is_graph(model):
    """Whether Keras knows a model's graph."""
    return isinstance(model, keras.Sequential | Functional)


def copy_of(layer):
    """A new, unbuilt layer of the same class and configuration."""
    return type(layer).from_config(layer.get_config())


def copy_state(layer, new):
    """Gives a copy of a layer the weights of the original, and what it keeps beside weights: vocabularies, adapted statistics."""
    new.set_weights(layer.get_weights())
    for old_part, new_part in zip(layer._flatten_layers(), new._flatten_layers(), strict=True):
        if hasattr(old_part, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                old_part.save_assets(folder)
                new_part.load_assets(folder)
    finalize_state(new)


def finalize_state(layer):
    """Lets preprocessing layers use the statistics that were assigned to them."""
    for part in layer._flatten_layers():
        if hasattr(part, "finalize_state"):
            part.finalize_state()


def own_variables(layer):
    """Variables of a layer that are not its sublayers'."""
    return layer._trainable_variables + layer._non_trainable_variables


def _rebuilt(model, clone, call):
    if not is_graph(model):
        return _rebuilt_subclassed(model, clone, call)
    # Keras takes no such function for Sequential models, whose layers take one tensor.
    call = None if isinstance(model, keras.Sequential) else call
    rebuilt = keras.models.clone_model(model, clone_function=clone, call_function=call)
    if not rebuilt.built:
        rebuilt.build(model.input_shape)
    return rebuilt


def _rebuilt_subclassed(model, clone, call):
    try:
        rebuilt = copy_of(model)
        rebuilt.build_from_config(model.get_build_config())
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"Model '{model.name}' ({type(model).__name__}) cannot be made again from its get_config. Allowed: subclassed models "
            f"whose get_config returns the arguments of __init__, built by the shapes of their inputs. Keras says: {error}"
        ) from error
    _replace_attributes(rebuilt, model, functools.partial(_built_clone, clone=clone, call=call))
    for new, own in zip(own_variables(rebuilt), own_variables(model), strict=True):
        new.assign(own)
    if model.compiled:
        rebuilt.compile_from_config(model.get_compile_config())
    return rebuilt


def _replace_attributes(new_owner, owner, built_clone):
    """Sets the new owner's attributes that hold layers to clones of the owner's."""
    tracker = new_owner._tracker
    tracker.unlock()
    keras_own = vars(keras.Model())
    # On PyTorch, layers are kept apart from other attributes.
    names = [*vars(owner), *getattr(owner, "_modules", {})]
    replaced = set()
    # Names that start so are TensorFlow's.
    for name in [name for name in names if name not in keras_own and not name.startswith("_self_")]:
        value = _unwrapped(getattr(owner, name))
        layers = [item for item in keras.tree.flatten(value) if isinstance(item, keras.layers.Layer)]
        if layers:
            replaced |= {id(layer) for layer in layers}
            for layer in keras.tree.flatten(_unwrapped(getattr(new_owner, name))):
                if isinstance(layer, keras.layers.Layer):
                    tracker.untrack(layer)
            new = keras.tree.map_structure(
                lambda item: built_clone(item) if isinstance(item, keras.layers.Layer) else item, value
            )
            setattr(new_owner, name, new)
    tracker.lock()
    new_owner.built = True
    for layer in owner._layers:
        if layer.weights and id(layer) not in replaced:
            raise ValueError(
                f"Model '{owner.name}' ({type(owner).__name__}) holds layer '{layer.name}' in a way that cannot be replaced. Allowed: "
                "layers that are attributes, alone or in lists, tuples and dicts."
            )


def _unwrapped(value):
    """A value with TensorFlow's wrappers of tuples taken off, which `keras.tree` does not look into."""
    value = getattr(value, "__wrapped__", value)
    if isinstance(value, list):
        return [_unwrapped(item) for item in value]
    if type(value) is tuple:
        return tuple(_unwrapped(item) for item in value)
    if isinstance(value, dict):
        return {key: _unwrapped(item) for key, item in value.items()}
    return value


def _built_clone(layer, clone, call):
    if isinstance(layer, keras.Model):
        return _rebuilt(layer, clone, call)
    new = clone(layer)
    if layer.built and not new.built:
        # The wrapped layer by its own shapes: it may take several.
        inner, new_inner = (getattr(x, "layer", x) if isinstance(x, WeightNormalization) else x for x in (layer, new))
        if not new_inner.built:
            new_inner.build_from_config(inner.get_build_config())
        if new is not new_inner:
            new.build()
    return new
