"""Group normalization, which normalizes each image by statistics of its own."""

import keras

from keras_wn.methods.card import MethodCard


def normalization(x, place, name):
    """Adds group normalization, with as many groups as the card has, or half as many as channels.

    Raises:
        ValueError: If the groups do not divide the channels.
    """
    channels = x.shape[-1]
    # The paper's least number of channels in a group is 2, in ResNet-50's first layers.
    groups = min(place.method.groups, max(1, channels // 2))
    if channels % groups:
        raise ValueError(
            f"{place.method.name}: groups={groups} does not divide the {channels} channels of "
            f"'{name}'. Allowed: divisors of the channels."
        )
    return keras.layers.GroupNormalization(
        groups,
        epsilon=1e-5,
        gamma_initializer=keras.initializers.Constant(place.start),
        name=f"{name}_gn",
    )(x)


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
    return normalization(x, place, name)


CARD = MethodCard(
    name="gn",
    title="group normalization",
    convolution=_convolution,
    branch_scale=0.0,
    groups=32,
    learning_rate=0.05,
    learning_rate_range=(0.32, 20.48),
    scale_of_v="kernel as He et al. 2015: variance 2 / fan-in",
    ours=(
        "Half as many groups as channels where there are less than 64 channels.",
        "Gammas and betas do not decay; they do in the first author's code.",
        "The warm-up. The learning rate is that of bn, and the best of 0.02, 0.05 and 0.1 on the "
        "validation split of the digits, by one run each.",
    ),
    references=(
        "Wu & He 2018, arXiv 1803.08494; the first author's code, ppwwyyxx/GroupNorm-reproduce, "
        "whose branches start at 0 by the gamma of their last normalization",
    ),
)
