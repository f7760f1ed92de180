"""Filters on a sphere, a join on a circle, and a classifier of cosines: all magnitudes are kept."""

from keras_wn.methods.card import MethodCard

CARD = MethodCard(
    name="sphere",
    title="projected filters, spherical joins",
    weights="projected",
    center="free",
    gain_start="keeping",
    biases="none",
    main_activation="identity",
    preactivation=True,
    join="spherical",
    classifier="cosine",
    unstable_joins={
        "rsqrt2": "the variance falls from 1 to 2e-5 over ResNet-50's blocks "
        "(tests/methods/test_variances.py)",
    },
    learning_rate=0.1,
    learning_rate_range=(0.32, 5.12),
    weight_decay=0.0,
    scale_of_v="||v|| = 1.7129 after an activation and 1 in the stem, restored after every step",
    ours=(
        "The whole method for classifiers: the paper's networks are those of a diffusion model. "
        "From there are the norms of filters that are restored in every step, activations of "
        "variance 1, and the join, with t = 0.3.",
        "Filters are centered, so that the mean of an activation does not count.",
        "The factor of the activation is in the norm of the filters that read it.",
        "The paper divides by the norm in every step as well. Here, the filters have it already.",
    ),
    references=("Karras et al. 2024, arXiv 2312.02696; the authors' code, NVlabs/edm2",),
)
