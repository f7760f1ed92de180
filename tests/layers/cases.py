"""Every weight-normalized layer class with arguments and an input, and shared checks."""

import keras
import numpy as np

from keras_wn import layers
from tests.helpers import to_numpy

RNG = np.random.default_rng(1)
IMAGES = RNG.normal(size=(2, 6, 6, 4)).astype("float32")
VECTORS = RNG.normal(size=(5, 4)).astype("float32")

SERIES = RNG.normal(size=(2, 7, 4)).astype("float32")
VOLUMES = RNG.normal(size=(2, 4, 4, 4, 3)).astype("float32")
TOKENS = np.array([[1, 2, 5], [5, 0, 1]], "int32")

# Name -> layer class, its arguments, input. The plain Keras class has the same name without WN.
CASES = {
    "dense": (layers.WNDense, {"units": 3}, VECTORS),
    "dense_activation": (layers.WNDense, {"units": 3, "activation": "tanh"}, VECTORS),
    "conv1d_causal": (
        layers.WNConv1D,
        {"filters": 3, "kernel_size": 3, "padding": "causal", "dilation_rate": 2},
        SERIES,
    ),
    "conv2d": (layers.WNConv2D, {"filters": 3, "kernel_size": 3}, IMAGES),
    "conv2d_strided": (
        layers.WNConv2D,
        {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "use_bias": False},
        IMAGES,
    ),
    "conv2d_grouped": (layers.WNConv2D, {"filters": 6, "kernel_size": 3, "groups": 2}, IMAGES),
    "conv2d_dilated": (
        layers.WNConv2D,
        {"filters": 3, "kernel_size": 2, "dilation_rate": 2},
        IMAGES,
    ),
    "conv3d": (layers.WNConv3D, {"filters": 3, "kernel_size": 2}, VOLUMES),
    "conv1d_transpose": (
        layers.WNConv1DTranspose,
        {"filters": 3, "kernel_size": 3, "strides": 2},
        SERIES,
    ),
    "conv2d_transpose": (
        layers.WNConv2DTranspose,
        {"filters": 3, "kernel_size": 3, "padding": "same"},
        IMAGES,
    ),
    "conv3d_transpose": (layers.WNConv3DTranspose, {"filters": 2, "kernel_size": 2}, VOLUMES),
    "depthwise_conv1d": (
        layers.WNDepthwiseConv1D,
        {"kernel_size": 3, "depth_multiplier": 2},
        SERIES,
    ),
    "depthwise_conv2d": (layers.WNDepthwiseConv2D, {"kernel_size": 3}, IMAGES),
    "separable_conv1d": (layers.WNSeparableConv1D, {"filters": 3, "kernel_size": 3}, SERIES),
    "separable_conv2d": (
        layers.WNSeparableConv2D,
        {"filters": 3, "kernel_size": 3, "depth_multiplier": 2},
        IMAGES,
    ),
    "einsum_dense": (
        layers.WNEinsumDense,
        {"equation": "abc,cde->abde", "output_shape": (None, 2, 3)},
        SERIES,
    ),
    "einsum_dense_ellipsis": (
        layers.WNEinsumDense,
        {"equation": "...x,xy->...y", "output_shape": 3},
        SERIES,
    ),
    "embedding": (layers.WNEmbedding, {"input_dim": 6, "output_dim": 4}, TOKENS),
}
if keras.backend.backend() != "tensorflow":  # Which has no channels-first convolution on a CPU.
    FIRST = {"kernel_size": 3, "data_format": "channels_first"}
    CASES |= {
        "conv1d_channels_first": (
            layers.WNConv1D,
            {"filters": 3, **FIRST},
            SERIES.transpose(0, 2, 1),
        ),
        "conv2d_channels_first": (
            layers.WNConv2D,
            {"filters": 3, **FIRST},
            IMAGES.transpose(0, 3, 1, 2),
        ),
        "conv2d_transpose_channels_first": (
            layers.WNConv2DTranspose,
            {"filters": 3, **FIRST},
            IMAGES.transpose(0, 3, 1, 2),
        ),
        "depthwise_conv2d_channels_first": (
            layers.WNDepthwiseConv2D,
            FIRST,
            IMAGES.transpose(0, 3, 1, 2),
        ),
    }
# Axes of a kernel's output units, counted from the end, where they are not the last alone.
UNITS = {
    "conv1d_transpose": (-2,),
    "conv2d_transpose": (-2,),
    "conv3d_transpose": (-2,),
    "conv2d_transpose_channels_first": (-2,),
    "depthwise_conv2d_channels_first": (-2, -1),
    "depthwise_conv1d": (-2, -1),
    "depthwise_conv2d": (-2, -1),
    "separable_conv1d": {"depthwise_kernel": (-2, -1), "pointwise_kernel": (-1,)},
    "separable_conv2d": {"depthwise_kernel": (-2, -1), "pointwise_kernel": (-1,)},
    "einsum_dense": (-2, -1),
    "embedding": (-2,),
}
# Convolutions with groups have no CPU gradient on TensorFlow outside XLA.
WITH_GRADIENT = [
    name for name in CASES if name != "conv2d_grouped" or keras.backend.backend() != "tensorflow"
]


def build(name, **extra):
    layer_class, arguments, x = CASES[name]
    layer = layer_class(**arguments, **extra)
    layer(x)
    plain = getattr(keras.layers, layer_class.__name__.removeprefix("WN"))(**arguments)
    plain(x)
    return layer, plain, x


def by_kernel(layer, value):
    """The values of `v`, `g` or `effective_kernel` as a dict of arrays by kernel name."""
    if not isinstance(value, dict):
        value = {"embeddings" if isinstance(layer, layers.WNEmbedding) else "kernel": value}
    return {name: to_numpy(item) for name, item in value.items()}


def fan_in(name, kernel_name, kernel):
    units = UNITS.get(name, (-1,))
    units = units[kernel_name] if isinstance(units, dict) else units
    return tuple(axis for axis in range(kernel.ndim) if axis - kernel.ndim not in units)


def norms(name, kernels):
    """Norm of each output unit of each kernel, axes kept."""
    return {
        k: np.sqrt(np.square(v).sum(axis=fan_in(name, k, v), keepdims=True))
        for k, v in kernels.items()
    }


def set_plain(plain, layer):
    effective = by_kernel(layer, layer.effective_kernel)
    own = {v.name: to_numpy(v) for v in layer.variables}
    for variable in plain.weights:
        variable.assign(effective.get(variable.name, own[variable.name]))
