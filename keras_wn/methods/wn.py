"""Weight normalization with a trained gain and data-dependent initialization."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="wn",
    title="weight normalization",
    weights="wn",
    initialize="gains",
    branch_scale=0.1,
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
