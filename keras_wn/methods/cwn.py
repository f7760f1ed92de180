"""Centered weight normalization: filters whose entries sum to 0, with a trained gain."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="cwn",
    title="centered weight normalization",
    weights="wn",
    center="always",
    initialize="gains",
    branch_scale=0.1,
    unstable_branch_scales={1.0: "ResNet-50 diverged on the digits at a learning rate of 0.016"},
    learning_rate=0.016,
    learning_rate_range=(0.32, 5.12),
    warmup_epochs=4,
    scale_of_v="||v|| about sqrt(2), alike in all layers: v as He et al. 2015, variance 2 / fan-in",
    ours=(
        "All that concerns residual nets: the authors' have batch normalization after each "
        "centered convolution. A gain and a bias for each filter are those of their VGG nets, "
        "which are without it.",
        "The start of the gains from data, as for wn, with a standard deviation of 0.1 at the end "
        "of a branch. The authors' start at 1 there, and at sqrt(2) in their PyTorch code.",
        "The plain classifier and the warm-up. The learning rate works, and is not tuned.",
    ),
    references=(
        "Huang et al. 2017, ICCV, Centered Weight Normalization in Accelerating Training of Deep "
        "Neural Networks; the authors' code, huangleiBuaa/CenteredWN",
    ),
)
