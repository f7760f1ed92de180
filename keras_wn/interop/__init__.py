"""Converts whole models to weight normalization and back, and the weights of other libraries."""

from keras_wn.interop.fold import fold
from keras_wn.interop.plain_weights import load_plain_weights
from keras_wn.interop.pytorch import load_torch_state_dict, to_torch_state_dict
from keras_wn.interop.stored_weight import LoadReport
from keras_wn.interop.tensorflow_addons import load_tfa_weights
from keras_wn.interop.weight_norm_model import weight_norm

__all__ = [
    "LoadReport",
    "fold",
    "load_plain_weights",
    "load_tfa_weights",
    "load_torch_state_dict",
    "to_torch_state_dict",
    "weight_norm",
]
