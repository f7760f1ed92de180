"""Fixup: no normalization, but a start that is scaled by depth, scalar biases and multipliers."""

import math

import keras

from keras_wn.layers import ScalarBias, ScalarGain
from keras_wn.methods.card import MethodCard

# The authors' learning rate of scalars is a tenth of that of kernels. Here, the layers multiply
# their numbers by this factor. The steps of the products are then a tenth of those that the numbers
# themselves would take.
_FACTOR = math.sqrt(0.1)


def _bias(x, name):
    return ScalarBias(factor=_FACTOR, name=name)(x)


def _kernel_initializer(place):
    if place.role == "stem":
        return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    if place.role == "last":
        return "zeros"
    scale = 2.0
    if place.role == "inner":
        # The paper's factor L^(-1 / (2 m - 2)) of the standard deviation, as one of the variance.
        scale *= place.network_blocks ** (-1 / (place.branch_convolutions - 1))
    return keras.initializers.VarianceScaling(scale, "fan_out", "untruncated_normal")


def _convolution(x, filters, kernel_size, strides, place, name):
    if place.role != "stem":
        x = _bias(x, f"{name}_bias_before")
    x = keras.layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer=_kernel_initializer(place),
        name=name,
    )(x)
    if place.role == "last":
        start = keras.initializers.Constant(1 / _FACTOR)
        x = ScalarGain(start, _FACTOR, name=f"{name}_multiplier")(x)
    return x if place.role == "shortcut" else _bias(x, f"{name}_bias_after")


def _head(classes, name):
    dense = keras.layers.Dense(classes, kernel_initializer="zeros", dtype="float32", name=name)
    return lambda x: dense(_bias(x, f"{name}_bias_before"))


CARD = MethodCard(
    name="fixup",
    title="Fixup initialization",
    convolution=_convolution,
    head=_head,
    unstable_joins={
        "rsqrt2": "the variance falls from 0.03 to 4e-8 over ResNet-50's blocks "
        "(tests/methods/test_variances.py)"
    },
    learning_rate=0.3,
    learning_rate_range=(0.32, 1.28),
    warmup_epochs=6,
    agc_conflict=(
        "the last convolution of each branch and the classifier start at 0, so that there is no "
        "norm to clip in proportion to"
    ),
    scale_of_v=(
        "kernel with variance 2 / fan-out, in branches times L^(-1 / (m - 1)) for L blocks of m "
        "convolutions; 0 for the last of a branch"
    ),
    ours=(
        "The bias in front of a shortcut's convolution is its own, and not that of the branch.",
        "The stride of a bottleneck in its first convolution; shortcuts that change the number of "
        "channels are convolutions in all nets.",
        "Scalars do not decay; they do in the authors' code.",
        "No mixup, which the paper's figures for ImageNet are with; polynomial decay.",
        "The learning rate and the warm-up. They are the best of five rates from 0.05 to 0.5 with "
        "2 epochs of warm-up, and of 0.3 and 0.5 with 6, on the validation split of the digits, by "
        "one run each.",
    ),
    references=(
        "Zhang, Dauphin & Ma 2019, arXiv 1901.09321; the first author's code, hongyi-zhang/Fixup",
    ),
)
