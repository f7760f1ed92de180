"""No normalization: the limit that the others are measured against."""

import keras

from keras_wn.methods.card import MethodCard


def _convolution(x, filters, kernel_size, strides, place, name):
    del place  # Every convolution is alike.
    layer = keras.layers.Conv2D(
        filters, kernel_size, strides, padding="same", kernel_initializer="he_normal", name=name
    )
    return layer(x)


def _activation(name):
    return keras.layers.ReLU(name=name)


CARD = MethodCard(
    name="none",
    title="no normalization",
    convolution=_convolution,
    takes_scale=False,
    activation=_activation,
    main_activation=_activation,
    head=lambda classes, name: keras.layers.Dense(classes, dtype="float32", name=name),
    join="sum",
    unstable_joins={},
    initialize=None,
    learning_rate=0.004,
    warmup_epochs=2,
    weight_decay=1e-4,
    decayed=("kernel",),
    decay_effect="shrinks the weights, and the outputs with them",
    scale_of_v="kernel as He et al. 2015: variance 2 / fan-in",
    batch_statistics=False,
    ours=("The whole card: the paper has no such baseline. Its learning rate works, and is not tuned.",),
    references=("He et al. 2015, arXiv 1502.01852 (initialization)",),
)
