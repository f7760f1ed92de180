"""Keras layers of the weight normalization family."""

from keras_wn.layers.activations import NormalizedReLU, ScaledReLU, TReLU
from keras_wn.layers.batch_statistics_noise import BatchStatisticsNoise
from keras_wn.layers.conv import (
    BoundedWNConv2D,
    ScaledWSConv2D,
    WNConv1D,
    WNConv2D,
    WNConv3D,
)
from keras_wn.layers.conv_transpose import WNConv1DTranspose, WNConv2DTranspose, WNConv3DTranspose
from keras_wn.layers.dense import WNDense, WNEinsumDense, WNEmbedding
from keras_wn.layers.depthwise_separable import (
    WNDepthwiseConv1D,
    WNDepthwiseConv2D,
    WNSeparableConv1D,
    WNSeparableConv2D,
)
from keras_wn.layers.ghost_batch_norm import GhostBatchNormalization
from keras_wn.layers.group_norm import GroupNormalization
from keras_wn.layers.joins import JoinWeights, ScaledAdd, WeightedAdd
from keras_wn.layers.mean_only_batch_norm import MeanOnlyBatchNormalization
from keras_wn.layers.norm_prop import NormPropConv2D, NormPropDense
from keras_wn.layers.scalars import ScalarBias, ScalarGain, SharedGain, SkipInit
from keras_wn.layers.weight_normalization import WeightNormalization

__all__ = [
    "BatchStatisticsNoise",
    "BoundedWNConv2D",
    "GhostBatchNormalization",
    "GroupNormalization",
    "JoinWeights",
    "MeanOnlyBatchNormalization",
    "NormPropConv2D",
    "NormPropDense",
    "NormalizedReLU",
    "ScalarBias",
    "ScalarGain",
    "ScaledAdd",
    "ScaledReLU",
    "ScaledWSConv2D",
    "SharedGain",
    "SkipInit",
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
