"""Weight normalization for Keras 3, and a study of it against batch normalization.

`import keras_wn` imports Keras and no other library.
"""

import importlib
from typing import Any

from keras_wn import constraints, initializers, layers, regularizers, reparameterizations
from keras_wn.data_dependent_init import data_dependent_init
from keras_wn.variable_groups import VariableGroups, variable_groups

__version__ = "0.1.0"
__all__ = [
    "VariableGroups",
    "callbacks",
    "constraints",
    "data_dependent_init",
    "fold",
    "initializers",
    "interop",
    "layers",
    "methods",
    "models",
    "optimizers",
    "regularizers",
    "reparameterizations",
    "summary",
    "variable_groups",
    "weight_norm",
]

# These are imported when they are first used, because layers and saved models do not need them.
# This halves the time of `import keras_wn`.
_MODULES = ("callbacks", "interop", "methods", "models", "optimizers")
_FUNCTIONS = {"fold": "interop", "summary": "model_summary", "weight_norm": "interop"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(f"{__name__}.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
