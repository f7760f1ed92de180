"""Batch normalization, as in ResNet v1."""

import keras

from keras_wn.layers import GhostBatchNormalization
from keras_wn.methods.card import MethodCard


def _convolution(x, filters, kernel_size, strides, place, name):
    x = keras.layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    options = {
        # The values of ImageNet recipes. Keras' defaults are 0.99 and 1e-3.
        "momentum": 0.9,
        "epsilon": 1e-5,
        "gamma_initializer": keras.initializers.Constant(place.start),
        "name": f"{name}_bn",
    }
    if place.method.statistics_batch:
        return GhostBatchNormalization(place.method.statistics_batch, **options)(x)
    return keras.layers.BatchNormalization(**options)(x)


CARD = MethodCard(
    name="bn",
    title="batch normalization",
    convolution=_convolution,
    branch_scale=1.0,
    statistics_batch=0,
    learning_rate=0.05,
    learning_rate_range=(0.08, 20.48),
    scale_of_v="kernel as He et al. 2015: variance 2 / fan-in",
    batch_statistics=True,
    ours=("The warm-up.",),
    references=(
        "Ioffe & Szegedy 2015, arXiv 1502.03167",
        "He et al. 2016, arXiv 1512.03385 (ResNet v1)",
    ),
)
