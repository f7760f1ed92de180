"""Defines the joins of a residual branch and its shortcut, which `--join` selects."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras

from keras_wn.layers import JoinWeights, ScaledAdd, WeightedAdd


@dataclasses.dataclass(frozen=True)
class Join:
    """A join that a card can name.

    Attributes:
        formula: String, the output in terms of branch r and shortcut s.
        make: Function `(card, place, name) -> layer`. The layer takes `[r, s]`.
        weights: Class of the layer that computes trained weights of the join for the kernels in
            front of it, or `None`. With these weights in the kernels, the join is a plain sum.
        grows: Boolean, whether each branch of variance 1 adds its variance to the main path.
    """

    formula: str
    make: Callable
    weights: type[keras.layers.Layer] | None = None
    grows: bool = True


def terms(place: Any) -> int:
    """The number k of terms that RescaleNet takes the main path to be the sum of after a block.

    The authors' code begins to count at the number of blocks, so that no branch replaces most of
    the path.
    """
    return max(place.network_blocks + place.block, 2)


def _rescaled(card, place):
    return place.network_blocks**-0.5, math.sqrt(1 - 1 / terms(place))


def _spherical(card, place):
    norm = math.hypot(card.branch_share, 1 - card.branch_share)
    return card.branch_share / norm, (1 - card.branch_share) / norm


def _weighed(weights):
    return lambda card, place, name: ScaledAdd(weights(card, place), name=name)


JOINS = {
    "sum": Join("r + s", lambda card, place, name: keras.layers.Add(name=name)),
    "rsqrt2": Join("(r + s) / sqrt(2)", lambda card, place, name: ScaledAdd(name=name)),
    "weighted": Join(
        "(a r + b s) / sqrt(a^2 + b^2), a and b trained",
        lambda card, place, name: WeightedAdd(name=name),
        JoinWeights,
    ),
    "rescaled": Join(
        "r / sqrt(L) + s sqrt((k - 1) / k), for L blocks and k terms",
        _weighed(_rescaled),
        grows=False,
    ),
    "spherical": Join(
        "(t r + (1 - t) s) / sqrt(t^2 + (1 - t)^2)", _weighed(_spherical), grows=False
    ),
}


def join_of(
    card: Any, x: keras.KerasTensor, channels: int, place: Any, name: str
) -> tuple[keras.layers.Layer, Any, Any]:
    """Makes the join of a residual block.

    If the method's card has `takes_scale`, trained weights of the join are put into the kernels of
    the convolutions in front of it.

    Args:
        card: `MethodCard`.
        x: Tensor, the input of the block.
        channels: Integer, the number of channels of branch and shortcut.
        place: `Place` of a convolution of the block.
        name: Name of the layer.

    Returns:
        Triple of the layer that takes `[branch, shortcut]`, and the tensors that scale branch and
        shortcut, which are `None` for 1.
    """
    join = JOINS[card.join]
    if not (card.takes_scale and join.weights):
        return join.make(card, place, name), None, None
    branch_scale, shortcut_scale = join.weights(channels, name=f"{name}_weights")(x)
    return keras.layers.Add(name=name), branch_scale, shortcut_scale
