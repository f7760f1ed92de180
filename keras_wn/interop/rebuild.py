"""Rebuilds a model layer by layer, with some layers replaced and all weights carried over.

A container is a model, or a layer around other layers. An opened container is made again, and its
layers are replaced one by one. Any other container is replaced as a whole.
"""

import contextlib
import functools
import inspect
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
from keras import ops
from keras.layers import Layer

# Keras does not export these. `Functional` is the class of `keras.Model(inputs, outputs)`.
from keras.src.models import Functional
from keras.src.utils.python_utils import is_default

from keras_wn.interop import attributes
from keras_wn.layers import WeightNormalization, gains
from keras_wn.layers.kernels import own_variables
from keras_wn.layers.reparameterized import Reparameterized
from keras_wn.layers.substitution import replaced_call
from keras_wn.layers.wrapped import build_from_config

# Pairs of a layer or model and the new one that takes its place.
Pairs = list[tuple[Layer, Layer]]


def rebuild(
    model: keras.Model,
    replace: Callable[[Layer], Layer],
    carry: Callable[[Layer, Layer], None],
    call: Callable | None = None,
    opened: Callable[[Layer], bool] = lambda layer: False,
) -> keras.Model:
    """A clone of a model in which `replace` chooses each layer, and `carry` gives it its weights.

    Args:
        model: Built Keras model, which is left as it is.
        replace: Function from a layer to the new, unbuilt layer that takes its place.
        carry: Function `(layer, new_layer)` that gives a built new layer its weights.
        call: Function `(new_layer, *args, **kwargs)` that calls a new layer in a functional model.
            None calls it with these arguments.
        opened: Function that tells whether a layer around others is opened.

    Returns:
        Keras model of the same kind and name. If `model` is compiled, so is this one, with a new
        optimizer; or a warning says that it cannot be compiled from its configuration.

    Raises:
        ValueError: As `rebuild_pairs`.
    """
    rebuilt, pairs, owners = rebuild_pairs(model, replace, call, opened)
    for layer, new in pairs:
        carry(layer, new)
    compile_as(owners)
    return rebuilt


def rebuild_pairs(
    model: keras.Model,
    replace: Callable[[Layer], Layer],
    call: Callable | None = None,
    opened: Callable[[Layer], bool] = lambda layer: False,
) -> tuple[keras.Model, Pairs, Pairs]:
    """A clone of a model in which `replace` chooses each layer.

    In functional and Sequential models every layer of the graph can be replaced, and so can the
    layers of models inside of these. A subclass of them keeps its class if its `from_config` gives
    the class back, and a warning says where not. A subclassed model, and a layer around others that
    is opened, is made again by its `get_config`, and the layers that are its attributes, alone or
    in lists and dicts, are replaced. Its `call` must use them as layers only.

    Args:
        model: Built Keras model, which is left as it is.
        replace, call, opened: As in `rebuild`.

    Returns:
        Triple of the model, which is not compiled; the pairs of built layers, whose weights are not
        carried over; and the pairs of containers, whose own weights are carried over.

    Raises:
        ValueError: If the model is not built, or is a subclassed one that Keras cannot make again.
    """
    check_built(model)
    pairs, owners, replaced = [], [], {}

    def clone(layer):
        if id(layer) not in replaced:
            if isinstance(layer, keras.Model):
                replaced[id(layer)] = _rebuilt(layer, clone, call)
                owners.append((layer, replaced[id(layer)]))
            elif isinstance(layer, keras.layers.Layer) and (opened(layer) or _is_changed(layer)):
                replaced[id(layer)] = _rebuilt_by_attributes(layer, clone)
                owners.append((layer, replaced[id(layer)]))
            else:
                # A functional model's graph also holds operations that are no layers.
                is_layer = isinstance(layer, keras.layers.Layer)
                replaced[id(layer)] = replace(layer) if is_layer else copy_of(layer)
                pairs.append((layer, replaced[id(layer)]))
        return replaced[id(layer)]

    rebuilt = clone(model)
    for owner, new in owners:
        # The layers have their own `trainable` already, and may be thawed in a frozen model.
        new._trainable = owner._trainable
    built = [
        (layer, new)
        for layer, new in pairs
        if isinstance(layer, keras.layers.Layer) and layer.built
    ]
    return rebuilt, built, owners


def check_built(model: Any) -> None:
    """Raises `ValueError` for all but built models."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"model={model!r} is not allowed. Allowed: a Keras model.")
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' is not built. Call it on a batch, or give it an Input, first."
        )


def is_graph(model: Layer) -> bool:
    """Whether this is a model whose graph Keras knows."""
    return isinstance(model, keras.Sequential | Functional)


def compile_as(owners: Pairs) -> None:
    """Compiles each new model like the old one. Warns once of all models for which that fails.

    Args:
        owners: Pairs of a container and its new one.
    """
    failures = []
    for model, new in owners:
        if not isinstance(model, keras.Model) or not model.compiled:
            continue
        if new is model or not new.compiled:
            try:
                _check_own_functions(model)
                new.compile_from_config(model.get_compile_config())
            # The user's own losses, metrics and optimizers may raise anything.
            except Exception as error:
                failures.append(f"'{model.name}' ({' '.join(str(error).split())[:200]})")
    if failures:
        warnings.warn(
            f"Model {', '.join(failures)} is returned without being compiled: Keras cannot compile "
            "it again from its configuration. Call compile on what is returned.",
            stacklevel=4,
        )


def _check_own_functions(model):
    """Raises for a loss or metric that is the user's own function.

    Keras would look for a registered function of its name, and find none or another one.
    """
    config = getattr(getattr(model, "_compile_config", None), "config", {})
    for argument in ("loss", "metrics", "weighted_metrics"):
        for item in keras.tree.flatten(config.get(argument)):
            if inspect.isfunction(item) and not item.__module__.startswith("keras."):
                if (
                    keras.saving.get_registered_object(keras.saving.get_registered_name(item))
                    is not item
                ):
                    raise ValueError(
                        f"{argument} has the function '{item.__name__}', which is not registered"
                    )


@contextlib.contextmanager
def uncompiled(model: keras.Model) -> Iterator[None]:
    """Scope in which Keras clones a model without compiling the clone.

    Compiling fails for losses that Keras cannot make again.
    """
    compiled, model.compiled = model.compiled, False
    try:
        yield
    finally:
        model.compiled = compiled


def copy_of(layer: Layer) -> Layer:
    """A new layer of the same class and configuration.

    It is not built, unless a rebuild replaced layers in it before.
    """
    if isinstance(layer, keras.layers.Layer) and _is_changed(layer):
        return _rebuilt_by_attributes(layer, functools.cache(copy_of))
    return type(layer).from_config(layer.get_config())


def copy_state(layer: Layer, new: Layer) -> None:
    """Gives a copy of a layer the weights, vocabularies and adapted statistics of the original."""
    for old_part, new_part in zip(layer._flatten_layers(), new._flatten_layers(), strict=True):
        _copy_own_state(old_part, new_part)
    finalize_state(new)


def copy_into(variable: keras.Variable, value: Any) -> None:
    """Assigns a copy of a value.

    On JAX, training deletes the arrays that it replaces, for every variable that shares them.
    """
    variable.assign(ops.copy(ops.convert_to_tensor(value)))


def copy_variables(pairs: Iterable[tuple[keras.Variable, keras.Variable]]) -> None:
    """Copies the value and `trainable` from the first variable of each pair to the second."""
    for variable, new in pairs:
        copy_into(new, variable)
        new.trainable = variable.trainable


def finalize_state(layer: Layer) -> None:
    """Lets preprocessing layers use the statistics that were assigned to them."""
    for part in layer._flatten_layers():
        if hasattr(part, "finalize_state"):
            part.finalize_state()


def _copy_own_state(layer, new):
    old, own = own_variables(layer), own_variables(new)
    by_name = {variable.name: variable for variable in old}
    # A variable that was frozen after it was made has another place in the copy.
    if len(by_name) == len(old) and set(by_name) == {variable.name for variable in own}:
        old = [by_name[variable.name] for variable in own]
    copy_variables(zip(old, own, strict=True))
    if hasattr(layer, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)
            new.load_assets(folder)


def _rebuilt(model, clone, call):
    if not is_graph(model):
        return _rebuilt_by_attributes(model, clone)
    # Keras takes no such function for Sequential models, whose layers take one tensor.
    call = None if isinstance(model, keras.Sequential) else call
    with uncompiled(model):
        rebuilt = keras.models.clone_model(model, clone_function=clone, call_function=call)
    if not rebuilt.built:
        rebuilt.build(model.input_shape)
    if type(rebuilt) is not type(model):
        _give_class_of(model, rebuilt, functools.partial(_built_clone, clone=clone))
    return rebuilt


def _give_class_of(model, rebuilt, built_clone):
    """Gives a clone of a subclass of functional models its class, and its own attributes.

    The attributes that hold layers get clones of these. The others are those that the class makes
    from the configuration.
    """
    try:
        made = type(model).from_config(model.get_config())
    # The user's own class may raise anything.
    except Exception as error:
        warn_of_class(model, rebuilt, error)
        return
    if type(made) is not type(model):
        warn_of_class(model, rebuilt, f"it returns a {type(made).__name__}")
        return
    rebuilt.__class__ = type(model)
    for name in [*vars(made), *getattr(made, "_modules", {})]:
        if not hasattr(rebuilt, name) and not name.startswith("_self_"):
            value = getattr(model, name, None)
            has_layers = bool(list(attributes.layers_in(value)))
            setattr(
                rebuilt,
                name,
                attributes.with_layers(value, built_clone) if has_layers else getattr(made, name),
            )


def warn_of_class(model: keras.Model, rebuilt: keras.Model, reason: Any) -> None:
    """Warns that a clone of a model is not of its class."""
    warnings.warn(
        f"Model '{model.name}' ({type(model).__name__}) is returned as a plain "
        f"{type(rebuilt).__name__} model, because its from_config does not give the class back: "
        f"{' '.join(str(reason).split())[:200]}",
        stacklevel=2,
    )


def _rebuilt_by_attributes(owner, clone):
    """A container, made again by its `get_config`, with the layers that `clone` makes."""
    try:
        new = type(owner).from_config(owner.get_config())
        # A `get_config` of the user's own may leave these out.
        new.name, new.dtype_policy, new.trainable = owner.name, owner.dtype_policy, owner.trainable
        # A layer without a `build` of its own has all its sublayers already.
        if isinstance(owner, keras.Model) or not is_default(owner.build):
            with _without_norms(new):
                new.build_from_config(owner.get_build_config())
    except (NotImplementedError, TypeError, ValueError) as error:
        kind = "Model" if isinstance(owner, keras.Model) else "Layer"
        raise ValueError(
            f"{kind} '{owner.name}' ({type(owner).__name__}) cannot be made again from its "
            "get_config. Allowed: subclassed models and layers whose get_config returns the "
            f"arguments of __init__, built by the shapes of their inputs. Keras says: {error}"
        ) from error
    attributes.replace(new, owner, functools.partial(_built_clone, clone=clone))
    _copy_own_state(owner, new)
    new.built = True
    new._build_shapes_dict = owner._build_shapes_dict
    new._keras_wn_changed = True
    return new


@contextlib.contextmanager
def _without_norms(container):
    """Scope in which weight-normalized layers compute with v, where only shapes are asked for.

    The layers of a container that is made again are thrown away. To trace their norms would take
    most of the time.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(gains.not_computed())
        for layer in container._flatten_layers():
            if isinstance(layer, Reparameterized):
                call = functools.partial(_call_without_scale, super(Reparameterized, layer).call)
                stack.enter_context(replaced_call(layer, call))
        yield


def _call_without_scale(call, inputs, scale=None):
    del scale  # It does not change the shape.
    return call(inputs)


def replace_in_place(
    model: keras.Model,
    replace: Callable[[Layer], Layer | None],
    carry: Callable[[Layer, Layer], None],
    opened: Callable[[Layer], bool],
) -> None:
    """Replaces layers in a subclassed model itself, which need not have a `get_config`.

    Args:
        model: Built subclassed Keras model.
        replace: Function from a layer to the one that takes its place: a new, unbuilt layer, a
            built one, or the layer itself if it stays.
        carry: As in `rebuild`.
        opened: Function that tells whether a layer around others holds one that is replaced.

    Raises:
        ValueError: If a layer is held in a way that cannot be replaced, or if `replace` raises.
            Nothing is changed then.
    """
    containers = [model, *filter(opened, model._flatten_layers(include_self=False))]
    containers = [layer for layer in containers if not is_graph(layer)]
    for container in containers:
        held = set(map(id, attributes.held_layers(container)))
        for layer in container._layers:
            if id(layer) not in held and opened(layer):
                raise ValueError(attributes.cannot_be_replaced(container, layer))
    replaced = {}

    def new_of(layer):
        if id(layer) not in replaced:
            new = replace(layer)
            if new is not layer and not new.built:
                new = _built_clone(layer, lambda layer: new)
                carry(layer, new)
            replaced[id(layer)] = (layer, new)
        return replaced[id(layer)][1]

    # Make all new layers before the first one is put in.
    for container in containers:
        for layer in attributes.held_layers(container):
            new_of(layer)
    for container in containers:
        attributes.replace(container, container, new_of)
    for function in ("train_function", "test_function", "predict_function"):
        setattr(model, function, None)
    # The optimizer has the variables of the layers that were replaced.
    compile_as([(model, model)])


def _is_changed(layer):
    """Whether a rebuild replaced layers in this layer, which its configuration does not show."""
    return getattr(layer, "_keras_wn_changed", False)


def _built_clone(layer, clone):
    new = clone(layer)
    if layer.built and not new.built:
        # The wrapped layer is built by its own shapes, because it may take several inputs.
        inner, new_inner = (
            getattr(x, "layer", x) if isinstance(x, WeightNormalization) else x
            for x in (layer, new)
        )
        if not new_inner.built:
            build_from_config(new_inner, inner.get_build_config())
        if new is not new_inner:
            new.build()
    return new
