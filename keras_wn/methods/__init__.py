"""The methods of the study: a card file each, and a line here."""

from keras_wn.methods import bn, bwn, none, normprop, wn, wn_mobn, wn_robust, wn_trelu
from keras_wn.methods.card import MethodCard
from keras_wn.methods.joins import JOINS, join_of
from keras_wn.methods.place import Place

_CARDS = {
    card.name: card
    for card in (
        none.CARD,
        bn.CARD,
        wn.CARD,
        normprop.CARD,
        wn_trelu.CARD,
        wn_robust.CARD,
        wn_mobn.CARD,
        bwn.CARD,
    )
}


def names():
    """Names that `get` and `--norm` take.

    Example:

    >>> import keras_wn
    >>> keras_wn.methods.names()
    ('none', 'bn', 'wn', 'normprop', 'wn_trelu', 'wn_robust', 'wn_mobn', 'bwn')
    """
    return tuple(_CARDS)


def get(method):
    """The card of a method.

    Args:
        method: Name of a method, or a `MethodCard`, which is returned as it is.

    Returns:
        `MethodCard`.

    Raises:
        ValueError: If there is no such method.

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


__all__ = ["JOINS", "MethodCard", "Place", "get", "join_of", "names"]
