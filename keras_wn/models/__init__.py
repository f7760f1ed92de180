"""Lists the networks of the study, built from a method card. `--model` selects one of them."""

import functools
from collections.abc import Callable

from keras_wn.models.cifar import cifar_resnet, shallow
from keras_wn.models.resnet import ResNet18, ResNet34, ResNet50, ResNet101, ResNet152, resnet

_CIFAR_DEPTHS = (8, 14, 20, 32, 44, 56, 110)
_BUILDERS = {
    "resnet18": ResNet18,
    "resnet34": ResNet34,
    "resnet50": ResNet50,
    "resnet101": ResNet101,
    "resnet152": ResNet152,
    **{f"cifar_resnet{depth}": functools.partial(cifar_resnet, depth) for depth in _CIFAR_DEPTHS},
    "shallow": shallow,
}


def names() -> tuple[str, ...]:
    """Returns the names of the networks, which are the values of `--model`.

    Example:

    >>> import keras_wn
    >>> keras_wn.models.names()[:3]
    ('resnet18', 'resnet34', 'resnet50')
    """
    return tuple(_BUILDERS)


def get(name: str) -> Callable:
    """Returns the function that builds a network.

    Args:
        name: One of `names()`.

    Returns:
        Function with the arguments of `ResNet50`.

    Raises:
        ValueError: If no network has this name.

    Example:

    >>> import keras_wn
    >>> keras_wn.models.get("resnet50").__name__
    'ResNet50'
    """
    if name not in _BUILDERS:
        raise ValueError(f"Unknown model {name!r}. Allowed: {', '.join(names())}.")
    return _BUILDERS[name]


__all__ = [
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "cifar_resnet",
    "get",
    "names",
    "resnet",
    "shallow",
]
