"""Reads PyTorch's state dicts: names of entries, modules, and both forms of `weight_norm`."""

import collections
import fnmatch
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_wn.interop.stored_weight import StoredWeight

# The entry of NVAE's convolutions that holds the logarithm of their norms, and what NVAE adds to
# the norm of v.
_LOG_NORM = "log_weight_norm"
_EPSILON = 1e-5


def modules_of(
    state_dict: Mapping[str, Any], ignore: Sequence[str] = ()
) -> dict[str, dict[str, StoredWeight]]:
    """The weights in a state dict by the modules that they belong to.

    Args:
        state_dict: Dict from names to arrays or PyTorch tensors.
        ignore: List of patterns of entries and modules that are left out.

    Returns:
        Dict from a module's name to a dict from a weight's name to a `StoredWeight` in PyTorch's
        layout. A recurrent module of several layers is several, `lstm.l0` and so on, whose weights
        have no number: `weight_ih`, `weight_ih_reverse`.

    Raises:
        ValueError: If `state_dict` is no dict of arrays or has one inside, if a g has no v, if the
            two do not fit, or if a pattern fits nothing.
    """
    _check_is_state_dict(state_dict)
    state_dict = _without(state_dict, ignore)
    weights = collections.defaultdict(dict)
    for entry, value in state_dict.items():
        module, name, part = _parsed(entry)
        # Batch normalization's count of training steps has no counterpart in Keras.
        if name == "num_batches_tracked":
            continue
        if part in weights[module, name]:
            raise ValueError(
                f"load_torch_state_dict: entry '{entry}' gives a second {part} of '{name}'. "
                "Allowed: one weight of each name."
            )
        weights[module, name][part] = _to_numpy(entry, value)
    numbers = collections.defaultdict(set)
    for module, name in weights:
        numbers[module].add(_without_number(name)[1])
    modules = {}
    for (module, name), parts in weights.items():
        weight, number = _without_number(name)
        several = number is not None and len(numbers[module]) > 1
        weights_of_module = modules.setdefault(f"{module}.l{number}" if several else module, {})
        weights_of_module[weight] = _stored_weight(f"{module}.{name}".lstrip("."), parts)
    for module, weights_of_module in modules.items():
        if _LOG_NORM in weights_of_module and "weight" in weights_of_module:
            log_norm = weights_of_module.pop(_LOG_NORM)
            weights_of_module["weight"] = _by_log_norm(
                module, weights_of_module["weight"], log_norm
            )
    return modules


def _by_log_norm(module, weight, log_norm):
    """The weight of NVAE, `exp(log_weight_norm) v / (||v|| + 1e-5)`, with a norm per output."""
    v, shape = weight.v, (len(weight.v), *(1 for _ in weight.v.shape[1:]))
    if weight.g is not None or log_norm.v.size != len(v):
        raise ValueError(
            f"load_torch_state_dict: '{module}.{_LOG_NORM}' has shape {log_norm.v.shape} and the "
            f"weight {v.shape}. Allowed: a plain weight, and a number for each of its outputs."
        )
    norm = np.sqrt(np.sum(np.square(v.astype("float64")), axis=tuple(range(1, v.ndim))))
    g = np.exp(log_norm.v.astype("float64").ravel()) * norm / (norm + _EPSILON)
    return StoredWeight(v, g.reshape(shape))


def _without(state_dict, patterns):
    """The entries of which neither the name nor that of a module around them fits a pattern."""
    ignored = set()
    for pattern in patterns:
        fitting = set()
        for entry in state_dict:
            parts = entry.split(".")
            names = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
            if any(fnmatch.fnmatchcase(name, pattern) for name in names):
                fitting.add(entry)
        if not fitting:
            raise ValueError(
                f"load_torch_state_dict: ignore={pattern!r} fits no entry and no module. Allowed: "
                f"patterns of names such as {next(iter(state_dict), None)!r}."
            )
        ignored |= fitting
    return {entry: value for entry, value in state_dict.items() if entry not in ignored}


def entry_of(module: str, weight: str, part: str, recurrent: bool, parametrizations: bool) -> str:
    """The name of an entry.

    Args:
        module: Name of the module; a recurrent one's that ends in `.l1` is layer 1 of the module.
        weight: Name of the weight, without a layer's number.
        part: "w", or "g" or "v" of a normalized weight.
        recurrent: Boolean, whether the module numbers its weights.
        parametrizations: Boolean, which of PyTorch's two forms of `weight_norm` it has.
    """
    if recurrent:
        numbered = re.fullmatch(r"(.*)\.l(\d+)", module)
        module, number = numbered.groups() if numbered else (module, "0")
        reverse = "_reverse" if weight.endswith("_reverse") else ""
        weight = f"{weight.removesuffix('_reverse')}_l{number}{reverse}"
    if part != "w" and parametrizations:
        weight = f"parametrizations.{weight}.original{'gv'.index(part)}"
    elif part != "w":
        weight = f"{weight}_{part}"
    return f"{module}.{weight}" if module else weight


def contents(module: Mapping[str, StoredWeight]) -> tuple:
    """A key that is the same for all copies of a module in a state dict.

    A module that is registered twice is in the state dict twice, with the same numbers. Untrained
    normalizations also have the same numbers, all ones and zeros, so that they count as copies only
    if they share memory.
    """
    arrays = {
        (name, part): array
        for name, stored in sorted(module.items())
        for part, array in (("v", stored.v), ("g", stored.g))
        if array is not None
    }
    if all(np.all(array == array.flat[:1]) for array in arrays.values()):
        return tuple((key, array.__array_interface__["data"]) for key, array in arrays.items())
    return tuple((key, array.shape, hash(array.tobytes())) for key, array in arrays.items())


def _check_is_state_dict(state_dict):
    if not isinstance(state_dict, Mapping):
        received = " ".join(reprlib.repr(state_dict).split())
        raise ValueError(
            f"load_torch_state_dict: state_dict={received} is not allowed. Allowed: a dict from "
            "names to arrays, as module.state_dict() returns it and torch.load(path, "
            "weights_only=True) reads it."
        )
    inside = []
    for key, value in state_dict.items():
        if isinstance(value, Mapping) and any(hasattr(x, "shape") for x in value.values()):
            inside.append(key)
    if inside:
        raise ValueError(
            f"load_torch_state_dict: state_dict holds dicts of arrays under {inside}. "
            f"Allowed: one of these, for example state_dict[{inside[0]!r}]."
        )
    for entry, value in state_dict.items():
        if not isinstance(entry, str) or not hasattr(value, "shape"):
            raise ValueError(
                f"load_torch_state_dict: state_dict[{entry!r}] is a {type(value).__name__}. "
                "Allowed: arrays of numbers under names."
            )


def _parsed(entry):
    """The names of an entry's module and weight, and which part of the weight it is: g, v or w."""
    *module, last = entry.split(".")
    if last in ("original0", "original1") and module[-2:-1] == ["parametrizations"]:
        return ".".join(module[:-2]), module[-1], "g" if last == "original0" else "v"
    if last.startswith("weight") and last.endswith(("_g", "_v")):
        return ".".join(module), last[:-2], last[-1]
    return ".".join(module), last, "w"


def _without_number(name):
    """Splits `weight_ih_l1_reverse` into `weight_ih_reverse` and 1. Other names have None."""
    numbered = re.fullmatch(r"((?:weight|bias)_[ih]h)_l(\d+)(_reverse|)", name)
    return (numbered[1] + numbered[3], int(numbered[2])) if numbered else (name, None)


def _to_numpy(entry, value):
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # NumPy has no bfloat16.
        value = (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
    value = np.asarray(value)
    if value.dtype.kind in "OSUMm":
        raise ValueError(
            f"load_torch_state_dict: state_dict[{entry!r}] is an array of {value.dtype}, which "
            "are no numbers. Allowed: arrays of numbers."
        )
    return value


def _stored_weight(name, parts):
    if set(parts) == {"w"}:
        return StoredWeight(parts["w"], None)
    if set(parts) != {"g", "v"}:
        raise ValueError(
            f"load_torch_state_dict: of '{name}' the state dict has {' and '.join(sorted(parts))}. "
            "Allowed: g and v, or w alone."
        )
    g, v = parts["g"], parts["v"]
    # One norm over all axes, PyTorch's dim=None, has a g of any rank.
    g = g.reshape((1,) * v.ndim) if g.size == 1 else g
    if g.ndim != v.ndim or any(n not in (1, m) for n, m in zip(g.shape, v.shape, strict=True)):
        raise ValueError(
            f"load_torch_state_dict: g of '{name}' has shape {g.shape} and v {v.shape}. "
            "Allowed: a g of v's shape with 1 along the axes of the norm."
        )
    return StoredWeight(v, g)
