"""Fixup: no normalization, but a start that is scaled by depth, scalar biases and multipliers."""

from keras_wn.methods.card import MethodCard
from keras_wn.methods.ingredients import FIXUP_FACTOR

CARD = MethodCard(
    name="fixup",
    title="Fixup initialization",
    kernel_start="fixup",
    biases="scalar",
    branch_scalar=True,
    branch_factor=FIXUP_FACTOR,
    classifier="zeros",
    unstable_joins={
        "rsqrt2": "the variance falls from 0.03 to 4e-8 over ResNet-50's blocks "
        "(tests/methods/test_variances.py)"
    },
    learning_rate=0.3,
    learning_rate_range=(0.32, 1.28),
    warmup_epochs=6,
    scale_of_v=(
        "kernel with variance 2 / fan-out, in branches times L^(-1 / (m - 1)) for L blocks of m "
        "convolutions; 0 for the last of a branch"
    ),
    ours=(
        "The bias in front of a shortcut's convolution is its own, and not that of the branch.",
        "The stride of a bottleneck in its first convolution; shortcuts that change the number of "
        "channels are convolutions in all nets.",
        "Scalars do not decay; they do in the authors' code.",
        "No mixup, which the paper's figures for ImageNet are with; polynomial decay.",
        "The learning rate and the warm-up. They are the best of five rates from 0.05 to 0.5 with "
        "2 epochs of warm-up, and of 0.3 and 0.5 with 6, on the validation split of the digits, by "
        "one run each.",
    ),
    references=(
        "Zhang, Dauphin & Ma 2019, arXiv 1901.09321; the first author's code, hongyi-zhang/Fixup",
    ),
)
