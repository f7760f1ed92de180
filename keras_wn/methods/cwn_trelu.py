"""Strict weight normalization with centered filters, translated ReLU and clipped gradients."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="cwn_trelu",
    title="centered strict weight normalization + translated ReLU",
    weights="strict",
    center="free",
    biases="none",
    activation="translated",
    classifier="wn",
    unstable_joins={
        "rsqrt2": "the variance falls from 0.19 to 9e-8 over ResNet-50's blocks "
        "(tests/methods/test_variances.py)"
    },
    learning_rate=0.2,
    learning_rate_range=(0.32, 20.48),
    agc=0.1,
    scale_of_v="||v|| about sqrt(2): He et al. 2015, variance 2 / fan-in",
    ours=(
        "The whole method: wn_trelu with the centered filters of cwn and the adaptive gradient "
        "clipping of nf, of which each has another source.",
        "The learning rate is that of wn_trelu.",
    ),
    references=(
        "Xiang & Li 2017, arXiv 1704.03971",
        "Huang et al. 2017, ICCV, Centered Weight Normalization in Accelerating Training of Deep "
        "Neural Networks",
        "Brock et al. 2021, arXiv 2102.06171 (adaptive gradient clipping)",
    ),
)
