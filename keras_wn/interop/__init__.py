"""To weight normalization and back: whole models."""

from keras_wn.interop.fold import fold
from keras_wn.interop.weight_norm_model import weight_norm

__all__ = ["fold", "weight_norm"]
