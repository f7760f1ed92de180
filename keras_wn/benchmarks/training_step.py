"""A training step of a network, on any backend of Keras."""

import keras
import numpy as np

from keras_wn import methods
from keras_wn.training.optimizer import SGDL2

_CLASSES = 1000


def model_of(request, variant):
    """A variant's network, compiled for training as the runners train it: SGD with momentum, the card's weight decay.

    Args:
        request: `Request`.
        variant: `Variant`.

    Returns:
        Compiled Keras model.
    """
    card = methods.get(variant.method)
    keras.config.set_dtype_policy(request.precision)
    try:
        model = request.network(variant, _CLASSES)
    finally:
        keras.config.set_dtype_policy("float32")
    model.compile(
        optimizer=SGDL2(card.weight_decay, card.decayed, learning_rate=1e-3, momentum=0.9),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        jit_compile=_compiles(request.xla),
    )
    model.optimizer.build(model.trainable_variables)
    return model


def batch_of(request, seed=0):
    """Normally distributed images and one-hot labels."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal(
        (request.batch_size, request.image_size, request.image_size, 3), dtype="float32"
    )
    return images, np.eye(_CLASSES, dtype="float32")[rng.integers(0, _CLASSES, request.batch_size)]


def runner(request, variant):
    """Function that runs one step of a variant on a batch in memory, and waits for it."""
    model = model_of(request, variant)
    images, labels = (keras.ops.convert_to_tensor(array) for array in batch_of(request))

    def run():
        # The loss is waited for: it is read as a float.
        model.train_on_batch(images, labels)

    return run


def _compiles(xla):
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from keras_wn.training import strategies

        return strategies.compiles(xla)
    return backend == "jax"
