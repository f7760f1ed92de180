"""What is computed a second time for the gradients, rather than kept from the forward pass for them."""

import math

import keras
from keras import backend

# Above, the second computation reads more than the memory is worth: docs/performance.md, "What was tried".
_LARGEST = 2**20


def recomputed(formula, v):
    """`formula`, of a v and more tensors, with nothing but those kept for its gradients; as it is if v is large, and on other backends.

    The norms of a model are small, but XLA keeps them until its update, and scattered: between them and the activations that are gone
    already, a large gradient finds no room on a TPU.
    """
    if backend.backend() != "jax" or math.prod(v.shape) > _LARGEST:
        return formula
    return keras.remat(formula)
