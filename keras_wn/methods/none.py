"""No normalization: the baseline that the methods are compared with."""

import keras

from keras_wn.methods.card import MethodCard


def _convolution(x, filters, kernel_size, strides, place, name):
    del place  # The same for every convolution.
    return keras.layers.Conv2D(
        filters, kernel_size, strides, padding="same", kernel_initializer="he_normal", name=name
    )(x)


CARD = MethodCard(
    name="none",
    title="no normalization",
    convolution=_convolution,
    learning_rate=0.004,
    learning_rate_range=(0.08, 1.28),
    scale_of_v="kernel as He et al. 2015: variance 2 / fan-in",
    ours=(
        "The whole card: the paper has no such baseline. Its learning rate works, and is not "
        "tuned.",
    ),
    references=("He et al. 2015, arXiv 1502.01852 (initialization)",),
)
