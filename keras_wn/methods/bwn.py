"""Bounded weight normalization: fixed norms, with mean-only batch normalization."""

import math

import keras

from keras_wn.layers import BoundedWNConv2D, MeanOnlyBatchNormalization
from keras_wn.methods.card import MethodCard


def _convolution(x, filters, kernel_size, strides, place, name):
    del place  # The same for every convolution.
    # The root mean square of the filters' norms at the start: each of the area * channels entries
    # of v has variance 2 / (area * filters).
    rho = math.sqrt(2 * x.shape[-1] / filters)
    x = BoundedWNConv2D(
        filters,
        kernel_size,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
        gain_initializer=keras.initializers.Constant(rho),
        name=name,
    )(x)
    return MeanOnlyBatchNormalization(momentum=0.9, name=f"{name}_bn")(x)


CARD = MethodCard(
    name="bwn",
    title="bounded weight normalization",
    convolution=_convolution,
    unstable_joins={
        "rsqrt2": "the variance falls from 0.01 to 2e-7 over ResNet-50's blocks "
        "(tests/methods/test_variances.py)"
    },
    learning_rate=0.016,
    learning_rate_range=(0.32, 5.12),
    weight_decay=0.0,
    scale_of_v=(
        "||v|| about rho = sqrt(2 channels / filters), 0.31 to 2.8 in ResNet-50: v as He et al. "
        "2015, variance 2 / fan-out"
    ),
    batch_statistics=True,
    ours=(
        "rho, one fixed number per layer as in the paper's formula, is what the norm at the start "
        "is on average, not that of the drawn v. A second form in the authors' code trains a gain "
        "per filter, and fixes the norm of a layer's gains.",
        "v starts truncated normal, not normal; the moving means have momentum 0.9, theirs 0.1.",
        "The plain classifier, polynomial decay and the warm-up. The learning rate works, and is "
        "not tuned.",
    ),
    references=(
        "Hoffer et al. 2018, arXiv 1803.01814; the authors' code, eladhoffer/norm_matters",
    ),
)
