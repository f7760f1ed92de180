"""Normalizer-free residual networks: scaled weight standardization and scaled activations."""

import math

import keras

from keras_wn.layers import ScaledWSConv2D, SkipInit
from keras_wn.layers.activations import relu_moments
from keras_wn.methods.card import MethodCard

# The factor of a branch, the paper's alpha.
_BRANCH_FACTOR = 0.2
# The factor that gives a ReLU of standard Gaussian numbers the variance 1.
_ACTIVATION_FACTOR = 1 / relu_moments()[1]


def _convolution(x, filters, kernel_size, strides, place, name):
    # Each branch adds alpha^2 to the variance of the main path, which is 1 after a projection and
    # the stem. The activation is scaled by the gain of the convolution that follows it, and so is
    # the division by the standard deviation of the main path, the paper's beta.
    variance = 1 + place.sums * _BRANCH_FACTOR**2
    gain = 1.0 if place.role == "stem" else _ACTIVATION_FACTOR / math.sqrt(variance)
    x = ScaledWSConv2D(
        filters,
        kernel_size,
        strides,
        padding="same",
        kernel_initializer=keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal"),
        gain_initializer=keras.initializers.Constant(gain),
        name=name,
    )(x)
    if place.role != "last":
        return x
    start = keras.initializers.Constant(place.start)
    return SkipInit(start, _BRANCH_FACTOR, name=f"{name}_skip")(x)


CARD = MethodCard(
    name="nf",
    title="normalizer-free network",
    convolution=_convolution,
    preactivation=True,
    main_activation=lambda name: keras.layers.Identity(name=name),
    branch_scale=0.0,
    unstable_joins={
        "rsqrt2": "the variance falls from 0.5 to 9e-6 over ResNet-50's blocks "
        "(tests/methods/test_variances.py)"
    },
    learning_rate=0.1,
    learning_rate_range=(0.32, 5.12),
    agc=0.1,
    scale_of_v="||v|| about 1, alike in all layers: variance 1 / fan-in",
    ours=(
        "The factors 1.7129 of the activations and 1 / beta of the main path are part of the "
        "initial gains, which makes the same function: gains of this size take steps that are "
        "larger in proportion.",
        "The last activation, in front of the classifier, is not scaled.",
        "The factor of adaptive gradient clipping. The paper's is 0.01 for batches of 1024 and "
        "more, and larger for smaller ones.",
        "The rest of the net: the stride of a bottleneck in its first convolution, the start of "
        "the classifier, no stochastic depth, no dropout, the polynomial decay and the warm-up. "
        "The learning rate works, and is not tuned.",
    ),
    references=(
        "Brock, De & Smith 2021, arXiv 2101.08692; Brock et al. 2021, arXiv 2102.06171 (adaptive "
        "gradient clipping); the authors' code, deepmind-research/nfnets",
    ),
)
