"""Keras layers of the weight normalization family."""

from keras_wn.layers.norm_prop_conv2d import NormPropConv2D
from keras_wn.layers.norm_prop_dense import NormPropDense
from keras_wn.layers.normalized_relu import NormalizedReLU
from keras_wn.layers.scaled_add import ScaledAdd
from keras_wn.layers.trelu import TReLU
from keras_wn.layers.weighted_add import WeightedAdd
from keras_wn.layers.wn_conv2d import WNConv2D
from keras_wn.layers.wn_dense import WNDense

__all__ = [
    "NormPropConv2D",
    "NormPropDense",
    "NormalizedReLU",
    "ScaledAdd",
    "TReLU",
    "WNConv2D",
    "WNDense",
    "WeightedAdd",
]
