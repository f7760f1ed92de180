"""Weight normalization for Keras 3, and its study against batch normalization. Importing it imports Keras alone."""

import importlib

from keras_wn import constraints, initializers, layers, regularizers, reparameterizations
from keras_wn.initializers import data_dependent_init
from keras_wn.variable_groups import VariableGroups, variable_groups

__version__ = "0.1.0"
__all__ = [
    "VariableGroups",
    "constraints",
    "data_dependent_init",
    "fold",
    "initializers",
    "interop",
    "layers",
    "methods",
    "models",
    "regularizers",
    "reparameterizations",
    "variable_groups",
    "weight_norm",
]

# Imported when they are first used, for half of the import's time: neither layers nor saved models that hold them need these.
_MODULES = ("interop", "methods", "models")
_FROM_INTEROP = ("fold", "weight_norm")


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _FROM_INTEROP:
        return getattr(importlib.import_module(f"{__name__}.interop"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
