"""Strict weight normalization with translated ReLU."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="wn_trelu",
    title="weight normalization + translated ReLU",
    weights="strict",
    biases="none",
    activation="translated",
    classifier="wn",
    unstable_joins={
        "rsqrt2": "the variance falls from 0.23 to 4e-6 over ResNet-50's blocks "
        "(tests/methods/test_variances.py)"
    },
    learning_rate=0.2,
    learning_rate_range=(0.32, 5.12),
    scale_of_v="||v|| about sqrt(2): He et al. 2015, variance 2 / fan-in",
    ours=(
        "The plain sum at the join. The author's code has a weighted join, made for generative "
        "networks (--join=weighted): it starts as the identity, and learned slowly in a "
        "classifier.",
        "The scale of v, and the warm-up, which the paper advises for deep nets without giving its "
        "length.",
    ),
    references=("Xiang & Li 2017, arXiv 1704.03971",),
)
