"""Sums over the positions of an input, leaving out masked ones."""

from keras import ops

from keras_wn.reparameterizations.weight_norm import Tensor


def weights_of(inputs: Tensor, mask: Tensor | None) -> Tensor | None:
    """Returns the weights of the positions of an input: 1, or 0 where the mask is `False`.

    Args:
        inputs: Tensor.
        mask: Tensor of booleans, of the shape of the input without the last axis, or `None`.

    Returns:
        Tensor of the dtype and rank of the input, with size 1 along the last axis, or `None`.

    Raises:
        ValueError: If the rank of the mask is not one less than that of the input.
    """
    if mask is None:
        return None
    if len(mask.shape) != len(inputs.shape) - 1:
        raise ValueError(
            f"A mask of shape {tuple(mask.shape)} is not allowed for an input of shape "
            f"{tuple(inputs.shape)}. Allowed: the shape without the last axis."
        )
    return ops.expand_dims(ops.cast(mask, inputs.dtype), -1)


def sum_and_count(
    inputs: Tensor, weights: Tensor | None, axes: list[int]
) -> tuple[Tensor, Tensor | float]:
    """Returns a sum and a count for each index of the other axes.

    Their ratio is the mean over `axes`.

    Args:
        inputs: Tensor.
        weights: The result of `weights_of` for the input.
        axes: List of axes, which are kept with size 1.

    Returns:
        Pair of the weighted sum and the sum of the weights; without weights, of the mean and 1.
    """
    if weights is None:
        return (ops.mean(inputs, axis=axes, keepdims=True) if axes else inputs), 1.0
    weights = ops.broadcast_to(weights, ops.shape(inputs))
    sums = [
        ops.sum(x, axis=axes, keepdims=True) if axes else x for x in (inputs * weights, weights)
    ]
    return tuple(sums)


def ratio(total: Tensor, count: Tensor | float) -> Tensor:
    """Returns `total / count`, and 0 where `count` is 0."""
    return total / ops.maximum(count, 1.0)
