"""Normalizer-free residual networks: scaled weight standardization and scaled activations."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="nf",
    title="normalizer-free network",
    weights="wn",
    center="always",
    kernel_start="lecun",
    gain_start="keeping",
    main_activation="identity",
    branch_scalar=True,
    branch_factor=0.2,  # The paper's alpha.
    preactivation=True,
    branch_scale=0.0,
    unstable_joins={
        "rsqrt2": "the variance falls from 0.5 to 9e-6 over ResNet-50's blocks "
        "(tests/methods/test_variances.py)"
    },
    learning_rate=0.1,
    learning_rate_range=(0.32, 5.12),
    agc=0.1,
    scale_of_v="||v|| about 1, alike in all layers: variance 1 / fan-in",
    ours=(
        "The factors 1.7129 of the activations and 1 / beta of the main path are part of the "
        "initial gains, which makes the same function: gains of this size take steps that are "
        "larger in proportion.",
        "The last activation, in front of the classifier, is not scaled.",
        "The factor of adaptive gradient clipping. The paper's is 0.01 for batches of 1024 and "
        "more, and larger for smaller ones.",
        "The rest of the net: the stride of a bottleneck in its first convolution, the start of "
        "the classifier, no stochastic depth, no dropout, the polynomial decay and the warm-up. "
        "The learning rate works, and is not tuned.",
    ),
    references=(
        "Brock, De & Smith 2021, arXiv 2101.08692; Brock et al. 2021, arXiv 2102.06171 (adaptive "
        "gradient clipping); the authors' code, deepmind-research/nfnets",
    ),
)
