"""Keras layers of the weight normalization family."""

from keras_wn.layers.bounded_wn_conv2d import BoundedWNConv2D
from keras_wn.layers.join_weights import JoinWeights
from keras_wn.layers.mean_only_batch_norm import MeanOnlyBatchNormalization
from keras_wn.layers.norm_prop_conv2d import NormPropConv2D
from keras_wn.layers.norm_prop_dense import NormPropDense
from keras_wn.layers.normalized_relu import NormalizedReLU
from keras_wn.layers.scaled_add import ScaledAdd
from keras_wn.layers.trelu import TReLU
from keras_wn.layers.weight_normalization import WeightNormalization
from keras_wn.layers.weighted_add import WeightedAdd
from keras_wn.layers.wn_conv1d import WNConv1D
from keras_wn.layers.wn_conv1d_transpose import WNConv1DTranspose
from keras_wn.layers.wn_conv2d import WNConv2D
from keras_wn.layers.wn_conv2d_transpose import WNConv2DTranspose
from keras_wn.layers.wn_conv3d import WNConv3D
from keras_wn.layers.wn_conv3d_transpose import WNConv3DTranspose
from keras_wn.layers.wn_dense import WNDense
from keras_wn.layers.wn_depthwise_conv1d import WNDepthwiseConv1D
from keras_wn.layers.wn_depthwise_conv2d import WNDepthwiseConv2D
from keras_wn.layers.wn_einsum_dense import WNEinsumDense
from keras_wn.layers.wn_embedding import WNEmbedding
from keras_wn.layers.wn_separable_conv1d import WNSeparableConv1D
from keras_wn.layers.wn_separable_conv2d import WNSeparableConv2D

__all__ = [
    "BoundedWNConv2D",
    "JoinWeights",
    "MeanOnlyBatchNormalization",
    "NormPropConv2D",
    "NormPropDense",
    "NormalizedReLU",
    "ScaledAdd",
    "TReLU",
    "WNConv1D",
    "WNConv1DTranspose",
    "WNConv2D",
    "WNConv2DTranspose",
    "WNConv3D",
    "WNConv3DTranspose",
    "WNDense",
    "WNDepthwiseConv1D",
    "WNDepthwiseConv2D",
    "WNEinsumDense",
    "WNEmbedding",
    "WNSeparableConv1D",
    "WNSeparableConv2D",
    "WeightNormalization",
    "WeightedAdd",
]
