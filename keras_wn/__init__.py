"""Weight normalization for Keras 3, and its study against batch normalization. Importing it imports Keras alone."""

from keras_wn import constraints, initializers, interop, layers, methods, models, regularizers, reparameterizations
from keras_wn.initializers import data_dependent_init
from keras_wn.interop import fold, weight_norm

__version__ = "0.1.0"
__all__ = [
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
    "weight_norm",
]
