"""Loads the weights of PyTorch modules into Keras models, and takes them back."""

import collections
import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wn.interop.pytorch_layers import counterparts
from keras_wn.interop.pytorch_state_dict import contents, entry_of, modules_of
from keras_wn.interop.stored_weight import LoadReport, StoredWeight, assign
from keras_wn.layers import gains


def load_torch_state_dict(
    model: keras.Model,
    state_dict: Mapping[str, Any],
    names: Mapping[str, str] | None = None,
    strict: bool = True,
    ignore: str | Sequence[str] = (),
    as_directions: bool = False,
) -> LoadReport:
    """Loads the weights of a PyTorch module into a Keras model.

    Both of PyTorch's weight normalizations are read, `torch.nn.utils.weight_norm` (entries
    `weight_g` and `weight_v`) and `torch.nn.utils.parametrizations.weight_norm`
    (`parametrizations.weight.original0` and `1`), and plain weights. An entry
    `log_weight_norm` next to `weight` is read as that of NVAE,
    `w = exp(log_weight_norm) v / (||v|| + 1e-5)`. The shape of g shows PyTorch's `dim`. A layer
    here whose norm has the same axes gets v and g as they are: `dim=0`, PyTorch's default, for
    `WNDense` and convolutions, `dim=1` for transposed convolutions.
    In any other case the weight w is the same, with `v = w` and `g = ||w||`, and a warning names
    the `axis` that `keras_wn.layers.WeightNormalization` needs to keep v and g. Plain Keras layers
    get w.

    Each layer with weights corresponds to a module, by the first of these that holds:

    1. `names` has the layer.
    2. The layer's name, or the path that leads to it or its end, is the module's name, where `.`,
       `/` and `_` are the same. A prefix of the modules' names is left out, as `module.`,
       `_orig_mod.` and `model.`, if all modules have it or more than half of the layers are found
       so. The model's own weights are the root module's.
    3. There are as many layers as modules: in order, the layers as they come in the model and the
       modules as in `state_dict`, unless that contradicts a name that agrees. With `strict=False`,
       only if no name agrees.

    A recurrent module of several layers is several modules, `lstm.l0`, `lstm.l1` and so on; one of
    a single layer is `lstm`. A module that is registered twice has two names, either of which may
    be used.

    A state dict does not hold settings, which have to be made in Keras: PyTorch's normalizations
    have `epsilon=1e-5`, and a dense layer after `Flatten` needs `keras.layers.Permute((3, 1, 2))`
    before `Flatten`, because PyTorch flattens (channels, height, width).

    Args:
        model: Built Keras model of layers that correspond to PyTorch's Linear, Conv1d to Conv3d
            (depthwise ones too), ConvTranspose1d to ConvTranspose3d, Embedding, BatchNorm,
            LayerNorm, GroupNorm, PReLU, RNN, GRU (`reset_after=True`) and LSTM and their cells,
            `Bidirectional` ones too, plain or weight-normalized. Of a layer of your own, weights
            with one axis longer than 1 at most are read, from entries of their names.
        state_dict: The result of `module.state_dict()`, or a dict of arrays. From a file:
            `torch.load(path, weights_only=True)`.
        names: Dict from the names of layers to those of modules. A layer whose name is not the
            only one in the model has its path for a name, `block_1/conv`.
        strict: Boolean. True: every layer and every entry has its counterpart. False: the layers
            that have a counterpart are loaded, by name if a name is found and otherwise in order,
            if all shapes agree. The rest is left as it is.
        ignore: Pattern, or list of patterns, of entries and modules of `state_dict` that are left
            out, as `"*filter"` for buffers that the model does not have as weights. `*` stands for
            any characters.
        as_directions: Boolean, whether a plain weight becomes v in a layer with `use_gain=False`,
            whose weight is then `v / ||v||`. This is right for a module that normalizes its weights
            itself. Otherwise such a layer takes weights of norm 1 alone.

    Returns:
        `LoadReport`: `loaded`, a dict from layers to modules, which `to_torch_state_dict` takes as
        `names`; `other_axes`; and with `strict=False` `missing`, layers or `layer/weight`, and
        `unexpected`, modules or entries.

    Raises:
        ValueError: If `state_dict` is no dict of arrays or has one inside, if a g has no v, if
            `names` has a name that does not exist, if a pattern of `ignore` fits nothing, if
            modules and layers do not correspond, or if shapes differ. Nothing is assigned then.

    Example:

    >>> import numpy as np, keras, keras_wn
    >>> model = keras.Sequential([keras.Input((2,)), keras_wn.layers.WNDense(1, name="fc")])
    >>> weights = {"0.weight_g": np.array([[10.0]]), "0.weight_v": np.array([[3.0, 4.0]])}
    >>> state_dict = {**weights, "0.bias": np.array([1.0])}
    >>> keras_wn.interop.load_torch_state_dict(model, state_dict).loaded
    {'fc': '0'}
    >>> float(model(np.ones((1, 2)))[0, 0])
    15.0

    Reference: `torch.nn.utils.weight_norm` and `torch.nn.Module.load_state_dict`, PyTorch 2.13.
    """
    modules = modules_of(state_dict, [ignore] if isinstance(ignore, str) else ignore)
    layers = counterparts(model)
    if strict:
        _refuse_without_counterpart(layers)
    found = _matched(layers, modules, names or {}, strict)
    missing = [layer.name for layer in layers if layer.name not in found]
    report = LoadReport(found, {}, missing, _left(modules, found.values()))
    if strict and (report.missing or report.unexpected):
        raise ValueError(_mismatch(layers, modules, names or {}, report))
    assignments, shapes = [], []
    for layer in layers:
        if layer.name in found:
            module = found[layer.name]
            arguments = layer, module, modules[module], strict, report, shapes, as_directions
            assignments += _assignments(*arguments)
    assign(assignments)
    for weight, shape in shapes:
        weight.remember_shape(shape)
    report.warn_of_other_axes("load_torch_state_dict")
    return report


def to_torch_state_dict(
    model: keras.Model, names: Mapping[str, str] | None = None, parametrizations: bool = True
) -> dict[str, Any]:
    """The weights of a Keras model as a state dict that a PyTorch module of its structure loads.

    A weight-normalized layer gives g and v, for `weight_norm(module, dim=0)` in PyTorch, or `dim=1`
    for transposed convolutions; with `WeightNormalization(layer, axis)` for the `dim` that the axes
    leave. A weight of a layer of your own has the shape that it had in PyTorch when it was loaded.
    Norms that PyTorch does not have become those of `dim=0` with the same weight w, and a
    warning names the layers. A plain layer gives its weight. The one bias of an LSTM or SimpleRNN
    becomes `bias_ih`, and `bias_hh` is zeros.

    Args:
        model: Built Keras model, as `load_torch_state_dict` takes it.
        names: Dict from the names of layers to those of modules, as `load_torch_state_dict` takes
            it and returns it as `loaded`. Of a layer that it lacks, the module is the path that
            leads to the layer, with `.` for `/`. A recurrent module's name that ends in `.l1` is
            layer 1 of the module before.
        parametrizations: Boolean. True: for `torch.nn.utils.parametrizations.weight_norm`. False:
            for the older `torch.nn.utils.weight_norm`.

    Returns:
        Dict from names to PyTorch tensors. A module that PyTorch registers twice is in it once:
        `module.load_state_dict(state_dict, strict=False)` loads it.

    Raises:
        ImportError: If PyTorch is not installed.
        ValueError: If a layer with weights has no counterpart in PyTorch, if `names` has a layer
            that does not exist, or if two layers go to the same module.

    Example:

    >>> import keras, keras_wn
    >>> model = keras.Sequential([keras.Input((2,)), keras_wn.layers.WNDense(1, name="fc")])
    >>> state_dict = to_torch_state_dict(model, parametrizations=False)  # doctest: +SKIP
    >>> {name: tuple(x.shape) for name, x in state_dict.items()}  # doctest: +SKIP
    {'fc.weight_g': (1, 1), 'fc.weight_v': (1, 2), 'fc.bias': (1,)}

    Reference: `torch.nn.utils.weight_norm`, PyTorch 2.13.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("to_torch_state_dict needs PyTorch: pip install torch") from error
    names = names or {}
    layers = counterparts(model)
    _refuse_without_counterpart(layers)
    _check_names("to_torch_state_dict", "layer", names, [layer.name for layer in layers])
    state_dict, other_norms = {}, {}
    for layer in layers:
        module = names.get(layer.name, layer.path.replace("/", "."))
        for weight in layer.weights:
            if not _norm_is_known_to_torch(weight):
                other_norms[layer.name] = weight
            for name, part, array in _torch_arrays(weight):
                entry = entry_of(module, name, part, layer.recurrent, parametrizations)
                if entry in state_dict:
                    raise ValueError(
                        f"to_torch_state_dict: two layers go to module '{module}'. "
                        "Allowed: a module for each layer, by the layers' names or by `names`."
                    )
                state_dict[entry] = _to_tensor(torch, array)
    if other_norms:
        warnings.warn(
            f"to_torch_state_dict: PyTorch does not have the norms of layers {list(other_norms)}. "
            "The weight w is the same, with v = w and g = ||w|| of weight_norm(module, dim=0).",
            stacklevel=2,
        )
    return state_dict


# Matching of modules and layers.


def _refuse_without_counterpart(layers):
    for layer in layers:
        if layer.refusal is not None:
            raise ValueError(layer.refusal)


def _check_names(caller, kind, names, allowed):
    for name in names:
        if name not in allowed:
            listed = ", ".join(map(repr, allowed))
            raise ValueError(f"{caller}: names has {kind} {name!r}. Allowed: {listed}.")


def _matched(layers, modules, names, strict):
    """Dict from layers' names to modules' names."""
    _check_names("load_torch_state_dict", "layer", names, [layer.name for layer in layers])
    _check_names("load_torch_state_dict", "module", names.values(), modules)
    _refuse_without_counterpart([layer for layer in layers if layer.name in names])
    rest = [layer for layer in layers if layer.name not in names and layer.refusal is None]
    free = [module for module in modules if module not in names.values()]
    by_name = _by_name(rest, free)
    if len(by_name) < len(rest) and (strict or not by_name):
        in_order = _in_order(rest, free, modules, names.values())
        contradicts = any(in_order.get(layer) != module for layer, module in by_name.items())
        if in_order and not contradicts:
            pairs = [(layer, modules[in_order[layer.name]]) for layer in rest]
            if strict or all(_fits(layer, module) for layer, module in pairs):
                return {**names, **in_order}
    return {**names, **by_name}


def _by_name(layers, modules):
    """Dict from layers to modules of the same name, where all have the same prefix or none."""
    layer_of = _layers_by_plain_name(layers)
    by_prefix = collections.defaultdict(lambda: collections.defaultdict(set))
    sharing = collections.Counter()
    for module in modules:
        parts = module.split(".") if module else []
        for n in range(len(parts) + 1):
            prefix, name = tuple(parts[:n]), _plain_name(".".join(parts[n:]))
            sharing[prefix] += 1
            if name in layer_of:
                by_prefix[prefix][layer_of[name]].add(module)
    likely = [
        found
        for prefix, found in by_prefix.items()
        if not prefix or sharing[prefix] == len(modules) or 2 * len(found) > len(layers)
    ]
    best = max(likely, key=len, default={})
    if sum(len(found) == len(best) for found in likely) > 1:
        return {}  # Two parts of the state dict have the names of the model.
    found = {layer: next(iter(same)) for layer, same in best.items() if len(same) == 1}
    counts = collections.Counter(found.values())
    return {layer: module for layer, module in found.items() if counts[module] == 1}


def _layers_by_plain_name(layers):
    """Dict from names to the layers that alone have them as name, path, or end of the path."""
    own, ends = collections.defaultdict(set), collections.defaultdict(set)
    for layer in layers:
        parts = layer.path.split("/") if layer.path else []
        for name in (layer.name, layer.path):
            own[_plain_name(name)].add(layer.name)
        for n in range(1, len(parts)):
            ends[_plain_name("/".join(parts[n:]))].add(layer.name)
    return {name: next(iter(same)) for name, same in (ends | own).items() if len(same) == 1}


def _plain_name(name):
    return name.replace(".", "_").replace("/", "_")


def _mismatch(layers, modules, names, report):
    """Says how many layers and modules there are, and where they begin to differ."""
    rest = [layer for layer in layers if layer.name not in names]
    free = [module for module in modules if module not in names.values()]
    if _by_name(rest, free):
        how, first = (
            "By name",
            (next(iter(report.missing), None), next(iter(report.unexpected), None)),
        )
    else:
        how, first = "In order", (None, None)
        for layer, module in itertools.zip_longest(rest, free):
            if layer is None or module is None or not _fits(layer, modules[module]):
                first = layer and layer.name, module
                break
    listed = " and ".join(
        f"no {kind}" if name is None else f"{kind} '{name}'"
        for kind, name in zip(("layer", "module"), first, strict=True)
    )
    return (
        f"load_torch_state_dict: layers and modules do not correspond. The model has {len(layers)} "
        f"layers with weights, {len(report.missing)} of them without a module, and the state dict "
        f"{len(modules)} modules, {len(report.unexpected)} of them without a layer. {how}, the "
        f"first pair that differs is {listed}. Allowed: the same in number and in an order that "
        "agrees with the names, or of the same names, or `names` for the layers, or `ignore` for "
        "entries; strict=False leaves the rest as it is."
    )


def _in_order(layers, names, modules, used):
    """Dict from layers to modules in order. It is empty if their numbers differ.

    If there are more modules than layers, copies of modules are left out.
    """
    if len(names) > len(layers):
        known = {contents(modules[name]) for name in used}
        distinct = {}
        for name in names:
            if contents(modules[name]) not in known:
                distinct.setdefault(contents(modules[name]), name)
        names = list(distinct.values())
    if len(names) != len(layers):
        return {}
    return {layer.name: name for layer, name in zip(layers, names, strict=True)}


def _fits(layer, module):
    entries = {entry for weight in layer.weights for entry in weight.entries}
    return entries == set(module) and all(
        weight.fits([module[entry].v.shape for entry in weight.entries]) for weight in layer.weights
    )


def _left(modules, used):
    """Names of the modules that are not used, and are no copies of modules that are used."""
    left = [name for name in modules if name not in used]
    known = {contents(modules[name]) for name in used} if left else set()
    return [name for name in left if contents(modules[name]) not in known]


# Assignments of a load.


def _assignments(layer, name, module, strict, report, torch_shapes, as_directions):
    """Pairs of a variable and an array.

    Adds weights without a counterpart to the report, and pairs of each other `Weight` and its shape
    in PyTorch to `torch_shapes`.
    """
    wanted = [entry for weight in layer.weights for entry in weight.entries]
    if strict and set(wanted) != set(module):
        raise ValueError(
            f"Layer '{layer.name}' expected of module '{name}' {', '.join(wanted)}. "
            f"Received: {', '.join(module)}. Allowed: the same, or strict=False."
        )
    unexpected = [entry for entry in module if entry not in wanted]
    report.unexpected.extend(f"{name}.{entry}".lstrip(".") for entry in unexpected)
    pairs = []
    for weight in layer.weights:
        if not all(entry in module for entry in weight.entries):
            report.missing.append(f"{layer.name}/{weight.variable.name}")
            continue
        stored = [module[entry] for entry in weight.entries]
        shapes = [one.v.shape for one in stored]
        if not weight.fits(shapes):
            raise ValueError(
                f"Layer '{layer.name}' expected of module '{name}' {' and '.join(weight.entries)} "
                f"of shape {_listed(weight.torch_shapes)}. Received: {_listed(shapes)}."
            )
        torch_shapes += [(weight, shape) for shape in shapes]
        if weight.kernel is None:
            pairs.append((weight.variable, weight.to_keras(*(one.w for one in stored))))
        else:
            (one,) = stored
            g = None if one.g is None else weight.to_keras(one.g)
            in_keras = StoredWeight(weight.to_keras(one.v), g)
            pairs += in_keras.assignments(weight.owner, weight.kernel, weight.gain, as_directions)
            if in_keras.other_axes(weight.kernel) is not None:
                report.other_axes[layer.name] = in_keras.other_axes(weight.kernel)
    return pairs


def _listed(shapes):
    return " and ".join(map(str, shapes))


# Arrays for PyTorch.


def _torch_arrays(weight):
    """Triples of an entry, which part of a weight it is (g, v or w), and its array."""
    if weight.kernel is None:
        arrays = weight.to_torch(ops.convert_to_numpy(weight.variable))
        return [(entry, "w", array) for entry, array in zip(weight.entries, arrays, strict=True)]
    (entry,) = weight.entries
    if _norm_is_known_to_torch(weight):
        (v,) = weight.layout.to_torch(ops.convert_to_numpy(weight.variable))
        g = _torch_gain(weight)
    else:
        w = ops.convert_to_numpy(gains.effective(weight.kernel, weight.gain))
        (v,) = weight.layout.to_torch(w)
        squares = np.square(v.astype("float64"))
        over = tuple(range(1, v.ndim))
        g = np.sqrt(np.sum(squares, axis=over, keepdims=True)).astype(v.dtype)
    return [(entry, "g", g), (entry, "v", v)]


def _norm_is_known_to_torch(weight):
    """Whether a weight is plain, or has norms over all axes but one, PyTorch's dim, or over all."""
    if weight.kernel is None:
        return True
    if weight.kernel.gain_axes != weight.kernel.fan_in or weight.kernel.center:
        return False
    return sum(n > 1 for n in _torch_gain(weight).shape) <= 1


def _torch_gain(weight):
    shape, over = tuple(weight.variable.shape), weight.kernel.fan_in
    lengths = tuple(1 if axis in over else n for axis, n in enumerate(shape))
    if weight.gain is None:
        g = np.ones(lengths, ops.convert_to_numpy(weight.variable).dtype)
    else:
        g = ops.convert_to_numpy(weight.gain.value).reshape(lengths)
    # PyTorch's dim=None has a g without axes.
    return g.reshape(()) if len(over) == len(shape) else weight.layout.to_torch(g)[0]


def _to_tensor(torch, array):
    # PyTorch does not read NumPy's bfloat16.
    if array.dtype.name == "bfloat16":
        return torch.tensor(array.astype("float32")).bfloat16()
    return torch.tensor(array)
