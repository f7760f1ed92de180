"""Weights to PyTorch."""

import numpy as np
from keras import ops

from keras_wn.interop.pytorch.layout import ENDS, supported_leaves, to_torch
from keras_wn.interop.stored_weight import inner_of, is_normalized, kernels_and_gains_of


def to_torch_state_dict(model, names=None, parametrizations=True):
    """The weights of a Keras model as a state dict that a PyTorch module of the same shape loads.

    A weight-normalized layer gives g and v, for `weight_norm(module, dim=0)` in PyTorch for Dense and convolutions and
    `weight_norm(module, dim=1)` for transposed convolutions; with `WeightNormalization(layer, axis)` for the `dim` that the axes leave.
    A plain layer gives its weight.

    Args:
        model: Built Keras model, as `load_torch_state_dict` takes it.
        names: Dict from a Keras layer's name to the PyTorch module's. None: the layer's own name.
        parametrizations: Boolean. True: for `torch.nn.utils.parametrizations.weight_norm`. False: for the older
            `torch.nn.utils.weight_norm`.

    Returns:
        Dict from names to PyTorch tensors.

    Raises:
        ImportError: If PyTorch is not installed.
        ValueError: If a layer with weights has no counterpart, or normalizes over axes that leave more than one `dim`.

    Example:

    >>> import keras, keras_wn
    >>> model = keras.Sequential([keras.Input((2,)), keras_wn.layers.WNDense(1, name="0")])
    >>> {name: tuple(x.shape) for name, x in to_torch_state_dict(model, parametrizations=False).items()}  # doctest: +SKIP
    {'0.weight_g': (1, 1), '0.weight_v': (1, 2), '0.bias': (1,)}
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError("to_torch_state_dict needs PyTorch: pip install torch") from error
    ends = {kind: end for end, kind in reversed(ENDS.items()) if parametrizations or "parametrizations" not in end}
    if parametrizations:
        ends |= {"g": "parametrizations.weight.original0", "v": "parametrizations.weight.original1"}
    state_dict = {}
    for layer in supported_leaves(model):
        prefix = (names or {}).get(layer.name, layer.name)
        for kind, array in _torch_arrays(layer).items():
            entry = f"{prefix}.{ends[kind]}" if prefix else ends[kind]
            if entry in state_dict:
                raise ValueError(
                    f"to_torch_state_dict: two layers go to module '{prefix}'. Allowed: layers of different names, or `names` for them."
                )
            # PyTorch does not read NumPy's bfloat16.
            half = array.dtype.name == "bfloat16"
            state_dict[entry] = torch.tensor(array.astype("float32")).bfloat16() if half else torch.tensor(array)
    return state_dict


def _torch_arrays(layer):
    ((kernel, gain),) = kernels_and_gains_of(layer)
    v = ops.convert_to_numpy(kernel.variable)
    if is_normalized(layer, kernel):
        lengths = tuple(1 if axis in kernel.fan_in else n for axis, n in enumerate(v.shape))
        if sum(axis not in kernel.fan_in for axis in range(v.ndim)) > 1:
            raise ValueError(
                f"Layer '{layer.name}' has norms over the axes {kernel.fan_in}. Allowed: over all axes but one, PyTorch's dim, or over all."
            )
        g = np.ones(lengths, v.dtype) if gain is None else ops.convert_to_numpy(gain.value).reshape(lengths)
        arrays = {"g": to_torch(g) if g.size > 1 or len(kernel.fan_in) < v.ndim else g.reshape(()), "v": to_torch(v)}
    else:
        arrays = {"w": to_torch(v)}
    bias = inner_of(layer).bias
    return arrays if bias is None else {**arrays, "bias": ops.convert_to_numpy(bias)}
