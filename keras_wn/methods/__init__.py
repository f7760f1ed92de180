"""Lists the methods of the study. Each is described by a card in a file of its own."""

from keras_wn.methods import (
    bn,
    bwn,
    cwn,
    cwn_trelu,
    cwn_trelu_skip,
    fixup,
    gn,
    nf,
    nf_fold,
    none,
    normprop,
    rescale,
    sphere,
    wn,
    wn_mobn,
    wn_robust,
    wn_trelu,
    ws,
)
from keras_wn.methods.card import CompositionError, MethodCard, Place
from keras_wn.methods.joins import JOINS, join_of

_MODULES = (
    none,
    bn,
    wn,
    normprop,
    wn_trelu,
    wn_robust,
    wn_mobn,
    bwn,
    cwn,
    ws,
    gn,
    nf,
    fixup,
    cwn_trelu,
    cwn_trelu_skip,
    rescale,
    nf_fold,
    sphere,
)
# The paper's "WN algorithms". A claim about them is a claim about each of them.
FAMILY = ("wn", "normprop", "wn_trelu")
# The methods of the paper, with those that they are compared with.
PAPER = ("none", "bn", *FAMILY)
_CARDS = {module.CARD.name: module.CARD for module in _MODULES}


def names() -> tuple[str, ...]:
    """Returns the names of the methods, which are the values of `--norm`.

    Example:

    >>> import keras_wn
    >>> keras_wn.methods.names()
    ('none', 'bn', 'wn', 'normprop', 'wn_trelu', 'wn_robust', 'wn_mobn', 'bwn', 'cwn', 'ws', 'gn',
     'nf', 'fixup', 'cwn_trelu', 'cwn_trelu_skip', 'rescale', 'nf_fold', 'sphere')
    """
    return tuple(_CARDS)


def get(method: str | MethodCard) -> MethodCard:
    """Returns the card of a method.

    Args:
        method: Name of a method, or a `MethodCard`, which is returned unchanged.

    Returns:
        `MethodCard`.

    Raises:
        ValueError: If no method has this name.

    Example:

    >>> import keras_wn
    >>> keras_wn.methods.get("wn").title
    'weight normalization'
    """
    if isinstance(method, MethodCard):
        return method
    if method not in _CARDS:
        raise ValueError(f"Unknown method {method!r}. Allowed: {', '.join(names())}.")
    return _CARDS[method]


__all__ = [
    "FAMILY",
    "JOINS",
    "PAPER",
    "CompositionError",
    "MethodCard",
    "Place",
    "get",
    "join_of",
    "names",
]
