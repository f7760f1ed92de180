"""Batch normalization, as in ResNet v1."""

import keras

from keras_wn.methods.card import MethodCard


def _convolution(x, filters, kernel_size, strides, place, name):
    del place  # Every convolution is alike.
    x = keras.layers.Conv2D(
        filters, kernel_size, strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    # Keras' own defaults are 0.99 and 1e-3; ImageNet recipes use these.
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)


def _activation(name):
    return keras.layers.ReLU(name=name)


CARD = MethodCard(
    name="bn",
    title="batch normalization",
    convolution=_convolution,
    takes_scale=False,
    activation=_activation,
    main_activation=_activation,
    head=lambda classes, name: keras.layers.Dense(classes, dtype="float32", name=name),
    join="sum",
    unstable_joins={},
    initialize=None,
    learning_rate=0.05,
    warmup_epochs=2,
    weight_decay=1e-4,
    decayed=("kernel",),
    decay_effect="on a convolution, changes the effective learning rate alone: its scale is normalized away; shrinks the classifier",
    scale_of_v="kernel as He et al. 2015: variance 2 / fan-in",
    batch_statistics=True,
    ours=("The warm-up.",),
    references=(
        "Ioffe & Szegedy 2015, arXiv 1502.03167",
        "He et al. 2016, arXiv 1512.03385 (ResNet v1)",
    ),
)
