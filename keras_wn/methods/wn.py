"""Weight normalization with a trained gain and data-dependent initialization."""

import functools

import keras

from keras_wn.data_dependent_init import data_dependent_init
from keras_wn.layers import WNConv2D
from keras_wn.methods.card import MethodCard


def convolution(x, filters, kernel_size, strides, place, name, **options):
    """Adds a `WNConv2D` with these options, whose gain is the start that `initialize` gives it."""
    return WNConv2D(
        filters,
        kernel_size,
        strides,
        padding="same",
        kernel_initializer="he_normal",
        gain_initializer=keras.initializers.Constant(place.start),
        name=name,
        **options,
    )(x)


# Gives the outputs of each layer the standard deviation that its gain starts at.
initialize = functools.partial(
    data_dependent_init, init_scale=lambda layer: layer.gain_initializer.value
)

CARD = MethodCard(
    name="wn",
    title="weight normalization",
    convolution=convolution,
    branch_scale=0.1,
    initialize=initialize,
    learning_rate=0.016,
    learning_rate_range=(0.32, 5.12),
    warmup_epochs=4,
    scale_of_v="||v|| about sqrt(2), alike in all layers: v as He et al. 2015, variance 2 / fan-in",
    ours=(
        "The scale of v: the paper's N(0, 0.05^2) gives ||v|| = 0.05 sqrt(fan-in), 0.4 to 3.4 in "
        "ResNet-50, and with it effective learning rates that differ 70-fold between layers.",
        "The plain classifier, the learning rate and the warm-up.",
    ),
    references=(
        "Salimans & Kingma 2016, arXiv 1602.07868; the authors' code for residual nets, whose "
        "branches end in a standard deviation of 0.1",
    ),
)
