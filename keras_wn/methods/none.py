"""No normalization: the baseline that the methods are compared with."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="none",
    title="no normalization",
    learning_rate=0.004,
    learning_rate_range=(0.08, 1.28),
    scale_of_v="kernel as He et al. 2015: variance 2 / fan-in",
    ours=(
        "The whole card: the paper has no such baseline. Its learning rate works, and is not "
        "tuned.",
    ),
    references=("He et al. 2015, arXiv 1502.01852 (initialization)",),
)
