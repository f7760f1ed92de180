"""Weights from PyTorch."""

import numpy as np

from keras_wn.interop.pytorch.layout import ALLOWED, ENDS, supported_leaves, to_keras
from keras_wn.interop.stored_weight import StoredWeight, assign, inner_of, kernels_and_gains_of


def load_torch_state_dict(model, state_dict, names=None):
    """Loads the weights of a PyTorch module into a Keras model.

    Both of PyTorch's weight normalizations are read, `torch.nn.utils.weight_norm` (entries `weight_g` and `weight_v`) and
    `torch.nn.utils.parametrizations.weight_norm` (`parametrizations.weight.original0` and `1`), and plain weights. PyTorch's `dim` is seen
    from the shape of g. A layer here whose norm has the same axes gets v and g as they are: `dim=0`, PyTorch's default, for Dense
    and convolutions; `dim=1` for transposed convolutions, or `WeightNormalization(layer, axis)` over all axes but the last, which is
    `dim=0` there. In any other case the weight is the same, with `v = w` and `g = ||w||`. Plain Keras layers get w.

    A dense layer behind `Flatten` needs care: Keras flattens (height, width, channels), PyTorch (channels, height, width). Put
    `keras.layers.Permute((3, 1, 2))` before that `Flatten`.

    Args:
        model: Built Keras model with data format `channels_last`, of layers that correspond to Linear, Conv1d to Conv3d and
            ConvTranspose1d to ConvTranspose3d, plain or weight-normalized; other layers only without weights.
        state_dict: What `module.state_dict()` returns, or a dict of arrays. Of a file: `torch.load(path, weights_only=True)`.
        names: Dict from a Keras layer's name to the PyTorch module's, for each layer with weights. None: if each such layer is
            named as a module, with `_` for `.`, by these names; otherwise in order, the model's layers as they come in
            `model.layers` and the modules as in `state_dict`.

    Returns:
        None. The model's weights are assigned, all of them or, with an error, none.

    Raises:
        ValueError: If `state_dict` has entries that are no weight of these modules, if modules and layers do not match, or if
            shapes differ.

    Example:

    >>> import numpy as np, keras, keras_wn
    >>> model = keras.Sequential([keras.Input((2,)), keras_wn.layers.WNDense(1)])
    >>> state_dict = {"0.weight_g": np.array([[10.0]]), "0.weight_v": np.array([[3.0, 4.0]]), "0.bias": np.array([1.0])}
    >>> keras_wn.interop.load_torch_state_dict(model, state_dict)
    >>> float(model(np.ones((1, 2)))[0, 0])
    15.0

    Reference: `torch.nn.utils.weight_norm`, PyTorch 2.13.
    """
    if not hasattr(state_dict, "items"):
        raise ValueError(
            f"load_torch_state_dict: state_dict={state_dict!r} is not allowed. Allowed: a dict from names to arrays, "
            "as torch.load(path, weights_only=True) reads it from a file."
        )
    modules = _modules(state_dict)
    found = _matched(supported_leaves(model), list(modules), names)
    assignments = []
    for layer, name in found:
        assignments += _assignments(layer, name, modules[name])
    assign(assignments)


def _modules(state_dict):
    """Module -> g, v, w or bias -> array."""
    modules = {}
    for entry, value in state_dict.items():
        end = next((end for end in ENDS if entry == end or entry.endswith(f".{end}")), None)
        if end is None:
            raise ValueError(
                f"load_torch_state_dict: entry '{entry}' is not allowed. Allowed: weights and biases of {ALLOWED}."
            )
        module = modules.setdefault(entry[: -len(end)].rstrip("."), {})
        if ENDS[end] in module:
            raise ValueError(f"load_torch_state_dict: entry '{entry}' gives a second {ENDS[end]} of its module.")
        module[ENDS[end]] = _to_numpy(value)
    return modules


def _to_numpy(value):
    if not hasattr(value, "detach"):
        return np.asarray(value)
    value = value.detach().cpu()
    # NumPy has no bfloat16.
    return (value.float() if "bfloat16" in str(value.dtype) else value).numpy()


def _matched(found, modules, names):
    """Pairs of a layer and a module's name."""
    keras_names = [layer.name for layer in found]
    by_name = names
    if names is None:
        by_name = {module.replace(".", "_"): module for module in modules}
        if sorted(by_name) != sorted(keras_names) and len(modules) == len(found):
            return list(zip(found, modules, strict=True))
    wanted = [by_name.get(name) for name in keras_names]
    if sorted(map(str, wanted)) != sorted(modules):
        raise ValueError(
            f"load_torch_state_dict: layers {keras_names} and modules {modules} do not match"
            + (f" by names={names}" if names else "")
            + ". Allowed: one module for each layer with weights."
        )
    return list(zip(found, wanted, strict=True))


def _assignments(layer, name, module):
    kinds = set(module) - {"bias"}
    if kinds not in ({"w"}, {"v", "g"}):
        raise ValueError(
            f"Layer '{layer.name}' expected of module '{name}' a weight, or both g and v of one. Received: {sorted(module)}."
        )
    ((kernel, gain),) = kernels_and_gains_of(layer)
    bias = inner_of(layer).bias
    if (bias is None) != ("bias" not in module):
        raise ValueError(
            f"Layer '{layer.name}' expected of module '{name}' {'no bias' if bias is None else 'a bias'}. Received: {sorted(module)}."
        )
    v = module.get("v", module.get("w"))
    g = module.get("g")
    rank = len(kernel.variable.shape)
    if v.ndim != rank or (g is not None and not (g.size == 1 or g.ndim == rank)):
        raise ValueError(
            f"Layer '{layer.name}' expected of module '{name}' a weight of rank {rank}. Received: {[a.shape for a in module.values()]}."
        )
    if g is not None:
        # A single g of any rank: PyTorch's dim=None.
        g = to_keras(g.reshape((1,) * rank) if g.size == 1 else g)
        if any(n not in (1, m) for n, m in zip(g.shape, to_keras(v).shape, strict=True)):
            raise ValueError(
                f"Layer '{layer.name}': g of module '{name}' has shape {module['g'].shape}, v has {v.shape}."
            )
    pairs = StoredWeight(to_keras(v), g).assignments(layer, kernel, gain)
    if bias is not None:
        if module["bias"].shape != tuple(bias.shape):
            raise ValueError(
                f"Layer '{layer.name}' expected a bias of shape {tuple(bias.shape)}. Received: {module['bias'].shape}."
            )
        pairs.append((bias, module["bias"]))
    return pairs
