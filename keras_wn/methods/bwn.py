"""Bounded weight normalization: fixed norms, with mean-only batch normalization."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="bwn",
    title="bounded weight normalization",
    weights="fixed",
    kernel_start="he_fan_out",
    gain_start="mean_norm",
    biases="none",
    normalization="mean",
    unstable_joins={
        "rsqrt2": "the variance falls from 0.01 to 2e-7 over ResNet-50's blocks "
        "(tests/methods/test_variances.py)"
    },
    learning_rate=0.016,
    learning_rate_range=(0.32, 5.12),
    weight_decay=0.0,
    scale_of_v=(
        "||v|| about rho = sqrt(2 channels / filters), 0.31 to 2.8 in ResNet-50: v as He et al. "
        "2015, variance 2 / fan-out"
    ),
    batch_statistics=True,
    ours=(
        "rho, one fixed number per layer as in the paper's formula, is what the norm at the start "
        "is on average, not that of the drawn v. A second form in the authors' code trains a gain "
        "per filter, and fixes the norm of a layer's gains.",
        "v starts truncated normal, not normal; the moving means have momentum 0.9, theirs 0.1.",
        "The plain classifier, polynomial decay and the warm-up. The learning rate works, and is "
        "not tuned.",
    ),
    references=(
        "Hoffer et al. 2018, arXiv 1803.01814; the authors' code, eladhoffer/norm_matters",
    ),
)
