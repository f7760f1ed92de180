"""RescaleNet: no normalization, but a join that keeps the variance, and biases from data."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="rescale",
    title="RescaleNet",
    kernel_start="rescaled",
    join="rescaled",
    branch_scalar=True,
    initialize="biases",
    learning_rate=0.02,
    learning_rate_range=(0.32, 5.12),
    scale_of_v=(
        "kernel as He et al. 2015, variance 2 / fan-in, in branches times (L / k)^(1 / m) for the "
        "k-th of L blocks of m convolutions, where k begins at L"
    ),
    ours=(
        "The biases stand after the convolutions, and start at minus the mean of their outputs. In "
        "the authors' code, they stand in front, and start at minus the mean of the inputs. Both "
        "give the convolutions the same outputs, away from the border.",
        "Shortcuts are strided convolutions; in the authors' code, they average first.",
        "No dropout, which the authors' code has in the later stages and before the classifier.",
        "The warm-up and the polynomial decay. The learning rate works, and is not tuned.",
    ),
    references=(
        "Shao, Hu, Wang, Xue & Raj 2020, Is normalization indispensable for training deep neural "
        "networks?, NeurIPS; the first author's code, hukkai/rescaling",
    ),
)
