"""Weight standardization with group normalization."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="ws",
    title="weight standardization + group normalization",
    weights="fixed",
    center="always",
    gain_start="standardizing",
    biases="none",
    normalization="group",
    branch_scale=0.0,
    unstable_branch_scales={
        1.0: "it learns slowly: ResNet-50 reached a validation top-1 of 0.25 on the digits at a "
        "learning rate of 0.05, and 0.98 from a start at 0"
    },
    groups=32,
    learning_rate=0.05,
    learning_rate_range=(0.32, 20.48),
    scale_of_v="||v|| about sqrt(2), alike in all layers: v as He et al. 2015, variance 2 / fan-in",
    ours=(
        "Half as many groups as channels where there are less than 64 channels.",
        "Branches start at 0 by the gamma of their last normalization, as for gn; in the authors' "
        "code, that gamma starts at 1.",
        "No number is added to the standard deviation; the authors' code adds 1e-5.",
        "Gammas and betas do not decay; they do in the authors' code.",
        "The warm-up. The learning rate is that of bn, and is not tuned.",
    ),
    references=(
        "Qiao et al. 2019, arXiv 1903.10520; the authors' code, "
        "joe-siyuan-qiao/WeightStandardization",
    ),
)
