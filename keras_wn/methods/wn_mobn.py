"""Weight normalization with mean-only batch normalization."""

import keras

from keras_wn.initializers import data_dependent_init
from keras_wn.layers import MeanOnlyBatchNormalization, WNConv2D
from keras_wn.methods.card import MethodCard


def _convolution(x, filters, kernel_size, strides, place, name):
    # The standard deviation of the outputs after the data-dependent initialization.
    scale = 0.1 if place.role == "last" else 1.0
    x = WNConv2D(
        filters,
        kernel_size,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        gain_initializer=keras.initializers.Constant(scale),
        name=name,
    )(x)
    return MeanOnlyBatchNormalization(momentum=0.9, name=f"{name}_bn")(x)


def _initialize(model, batch):
    data_dependent_init(model, batch, init_scale=lambda layer: layer.gain_initializer.value)


CARD = MethodCard(
    name="wn_mobn",
    title="weight normalization + mean-only batch normalization",
    convolution=_convolution,
    initialize=_initialize,
    learning_rate=0.016,
    warmup_epochs=4,
    scale_of_v="||v|| about sqrt(2), alike in all layers: v as He et al. 2015, variance 2 / fan-in",
    batch_statistics=True,
    ours=(
        "All that concerns residual nets: it follows every convolution, shortcuts' too. Standard "
        "deviation 0.1 for the last convolution of a branch is that of the authors' residual nets, "
        "which are without it; with 1, as wn has it, nothing divides what training adds: ResNet-50 "
        "diverged on the digits at learning rates of 0.002, 0.004 and 0.016.",
        "The scale of v, as for wn.",
        "The plain classifier and the warm-up. The learning rate works, and is not tuned.",
    ),
    references=("Salimans & Kingma 2016, arXiv 1602.07868, eq. 7",),
)
