"""What Keras layers and PyTorch modules correspond, and how each lays out a weight."""

from keras_wn.interop.scale_of import scale_of
from keras_wn.interop.stored_weight import inner_of, named_leaves
from keras_wn.layers.kernels import FULL

ALLOWED = "Linear, Conv1d to Conv3d and ConvTranspose1d to ConvTranspose3d"
# The ends of an entry's name -> what it is, longest first.
ENDS = {
    "parametrizations.weight.original0": "g",
    "parametrizations.weight.original1": "v",
    "weight_g": "g",
    "weight_v": "v",
    "weight": "w",
    "bias": "bias",
}


def supported_leaves(model):
    """Layers of a built model that have weights, all of them with a counterpart in PyTorch."""
    found = [leaf.layer for leaf in named_leaves(model)] if model.built else []
    if not found:
        raise ValueError(
            f"Model '{model.name}' is not built or has no weights. Call it on a batch, or give it an Input, first."
        )
    for layer in found:
        if not isinstance(inner_of(layer), FULL):
            raise ValueError(
                f"Layer '{layer.name}' ({type(inner_of(layer)).__name__}) is not allowed. Allowed: layers with weights that "
                f"correspond to PyTorch's {ALLOWED}."
            )
        if scale_of(layer) is not None:
            raise ValueError(
                f"Layer '{layer.name}' takes a scale from elsewhere. Allowed: layers without, as PyTorch's."
            )
    return found


def to_keras(array):
    """From `(output, input, *kernel)`, or `(input, output, *kernel)` if transposed, to Keras' order."""
    return array.transpose(*range(2, array.ndim), 1, 0)


def to_torch(array):
    return array.transpose(array.ndim - 1, array.ndim - 2, *range(array.ndim - 2))
