"""`cwn_trelu` whose branches end in a trained scalar that starts at 0."""

import dataclasses

from keras_wn.methods import cwn_trelu

CARD = dataclasses.replace(
    cwn_trelu.CARD,
    name="cwn_trelu_skip",
    title="centered strict weight normalization + translated ReLU, branches from 0",
    branch_scalar=True,
    branch_scale=0.0,
    unstable_joins={
        "rsqrt2": "the variance falls from 0.17 to 7e-8 over ResNet-50's blocks "
        "(tests/methods/test_variances.py)"
    },
    references=(*cwn_trelu.CARD.references, "De & Smith 2020, arXiv 2002.10444 (the scalar)"),
)
