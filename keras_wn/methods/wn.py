"""Weight normalization with a trained gain and data-dependent initialization."""

from keras_wn.initializers import data_dependent_init
from keras_wn.layers import WNConv2D
from keras_wn.methods.card import MethodCard


def _convolution(x, filters, kernel_size, strides, place, name):
    del place  # The same at every place.
    return WNConv2D(
        filters,
        kernel_size,
        strides,
        padding="same",
        kernel_initializer="he_normal",
        gain_initializer="ones",
        name=name,
    )(x)


CARD = MethodCard(
    name="wn",
    title="weight normalization",
    convolution=_convolution,
    initialize=data_dependent_init,
    learning_rate=0.016,
    warmup_epochs=4,
    scale_of_v="||v|| about sqrt(2), alike in all layers: v as He et al. 2015, variance 2 / fan-in",
    ours=(
        "The scale of v: the paper's N(0, 0.05^2) gives ||v|| = 0.05 sqrt(fan-in), 0.4 to 3.4 in "
        "ResNet-50, and with it effective learning rates that differ 70-fold between layers.",
        "Standard deviation 1 for the last convolution of a branch too, as the net with batch "
        "normalization starts; the authors' residual nets use 0.1 there, with the same plain sum.",
        "The plain classifier, the learning rate and the warm-up.",
    ),
    references=("Salimans & Kingma 2016, arXiv 1602.07868",),
)
