"""Weight normalization with mean-only batch normalization."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="wn_mobn",
    title="weight normalization + mean-only batch normalization",
    weights="wn",
    biases="none",
    normalization="mean",
    initialize="gains",
    branch_scale=0.1,
    unstable_branch_scales={
        1.0: "nothing divides what training adds: ResNet-50 diverged on the digits at learning "
        "rates of 0.002, 0.004 and 0.016"
    },
    learning_rate=0.016,
    learning_rate_range=(0.32, 5.12),
    warmup_epochs=4,
    scale_of_v="||v|| about sqrt(2), alike in all layers: v as He et al. 2015, variance 2 / fan-in",
    batch_statistics=True,
    ours=(
        "All that concerns residual nets: it follows every convolution, shortcuts' too. Standard "
        "deviation 0.1 for the last convolution of a branch is that of the authors' residual nets, "
        "which are without it.",
        "The scale of v, as for wn.",
        "The plain classifier and the warm-up. The learning rate works, and is not tuned.",
    ),
    references=("Salimans & Kingma 2016, arXiv 1602.07868, eq. 7",),
)
