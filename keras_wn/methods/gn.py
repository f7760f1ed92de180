"""Group normalization, which normalizes each image by statistics of its own."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="gn",
    title="group normalization",
    biases="none",
    normalization="group",
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
