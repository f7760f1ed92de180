"""Batch normalization, as in ResNet v1."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="bn",
    title="batch normalization",
    biases="none",
    normalization="batch",
    branch_scale=1.0,
    statistics_batch=0,
    learning_rate=0.05,
    learning_rate_range=(0.08, 20.48),
    scale_of_v="kernel as He et al. 2015: variance 2 / fan-in",
    batch_statistics=True,
    ours=("The warm-up.",),
    references=(
        "Ioffe & Szegedy 2015, arXiv 1502.03167",
        "He et al. 2016, arXiv 1512.03385 (ResNet v1)",
    ),
)
