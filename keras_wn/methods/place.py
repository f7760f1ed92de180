"""Where a convolution stands in a net."""

import dataclasses

import keras

# First of a residual net, on the main path; inside a branch, or in a net without branches, directly before an activation; last of a
# branch, before the join; projection on a shortcut.
ROLES = ("stem", "inner", "last", "shortcut")


@dataclasses.dataclass(frozen=True)
class Place:
    """What a builder tells a method card of a convolution that it asks for.

    Attributes:
        role: One of `stem`: first of a residual net; `inner`: directly before an activation; `last`: last of a branch, before the
            join; `shortcut`: projection beside a branch.
        blocks: Positive integer, residual blocks in its stage; 1 outside of stages.
        scale: Tensor with a number per filter that multiplies the kernel, or None for 1. Only cards with `takes_scale` are given one.

    Raises:
        ValueError: If a value is not allowed.

    Example:

    >>> Place("last", blocks=6)
    Place(role='last', blocks=6, scale=None)
    """

    role: str
    blocks: int = 1
    scale: keras.KerasTensor | None = None

    def __post_init__(self):
        if self.role not in ROLES:
            raise ValueError(f"Place: role={self.role!r} is not allowed. Allowed: {', '.join(ROLES)}.")
        if not self.blocks >= 1:
            raise ValueError(f"Place: blocks={self.blocks!r} is not allowed. Allowed: 1 or more.")
