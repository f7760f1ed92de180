"""Weight normalization with initial gains that keep the norm of the signal, without data."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="wn_robust",
    title="weight normalization, robust start",
    weights="wn",
    kernel_start="orthogonal",
    gain_start="robust",
    main_activation="identity",
    unstable_joins={
        "rsqrt2": "the variance falls from 0.003 to 2e-7 over ResNet-50's blocks "
        "(tests/methods/test_variances.py)"
    },
    learning_rate=0.016,
    learning_rate_range=(0.08, 1.28),
    warmup_epochs=4,
    warmup_power=2.0,
    scale_of_v=(
        "v orthogonal: ||v|| = 1; sqrt(fan-in / filters) on average, 0.5 to 0.71 in ResNet-50, "
        "where filters outnumber the fan-in"
    ),
    ours=(
        "Bottlenecks, which the paper does not cover: factors 2, 2 and 1/B for their three "
        "convolutions.",
        "The fan-in and fan-out as in the authors' code: both count the kernel's area, so that g "
        "is sqrt(c channels / filters).",
        "The rest of the net: the max-pooling after the stem, the stride of a bottleneck in its "
        "first convolution.",
        "The length of the warm-up. The authors' code leaves it to a flag, and raises the learning "
        "rate by the square of the step, as here. The learning rate works, and is not tuned.",
    ),
    references=(
        "Arpit, Campos & Bengio 2019, arXiv 1906.02341; the authors' code, "
        "victorcampos7/weightnorm-init",
    ),
)
