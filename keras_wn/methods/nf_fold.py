"""`nf` with its scalars in the gains, and with filters that are centered by their gradients."""

import dataclasses

from keras_wn.methods import nf

CARD = dataclasses.replace(
    nf.CARD,
    name="nf_fold",
    title="normalizer-free network, folded",
    center="free",
    branch_scalar=False,
    agc_on="kernels",
    ours=(
        "The scalar at the end of a branch is that of nf and timm's networks: the gains of the "
        "last convolution start at 0. Here, they include the factor 0.2 at the start alone.",
        "Adaptive gradient clipping spares the gains, which it would keep near 0.",
        *nf.CARD.ours,
    ),
    references=(
        *nf.CARD.references,
        "timm, huggingface/pytorch-image-models, models/nfnet.py and layers/std_conv.py",
    ),
)
