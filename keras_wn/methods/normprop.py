"""Normalization propagation: unit filters, and activations without the moments of a Gaussian."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="normprop",
    title="normalization propagation",
    weights="wn",
    unit_v=True,
    kernel_start="unit",
    gain_start="norm_prop",
    activation="normalized",
    join="rsqrt2",
    unstable_joins={
        "sum": "the variance grows from 1.3 to 1e8 over ResNet-50's blocks "
        "(tests/methods/test_variances.py)"
    },
    learning_rate=0.008,
    learning_rate_range=(0.08, 1.28),
    scale_of_v="||v|| = 1, restored by the constraint after every step",
    ours=(
        "All that concerns residual nets, which the first paper does not cover: the join "
        "(x + y) / sqrt(2), gain 1 and no activation of its own for the last convolution of a "
        "branch, NormalizedReLU after the join.",
        "v starts with unit norm, not only after the first step; inputs are standardized globally, "
        "not per element.",
        "The plain classifier, SGD with polynomial decay, and the warm-up.",
    ),
    references=(
        "Arpit et al. 2016, arXiv 1603.01431",
        "For residual nets: Shang, Chiu & Sohn 2017, AAAI, Exploring Normalization in Deep "
        "Residual Networks with Concatenated Rectified Linear Units. Their modification of the "
        "method is not used here: its formula was not found in any text or code that could be "
        "read.",
    ),
)
