"""A process of a run in several: trains a small network and saves its weights. `worker_process.py OUT XLA MODE`."""

import sys

import keras
import numpy as np
import tensorflow as tf

from keras_wn.training import strategies
from keras_wn.training.compiled_step import CompiledStepModel
from keras_wn.training.errors import UsageError
from keras_wn.training.optimizer import SGDL2

BATCH, STEPS, EPOCHS = 8, 4, 2


def arrays():
    rng = np.random.default_rng(0)
    return rng.normal(size=(32, 6)).astype("float32"), np.eye(3, dtype="float32")[rng.integers(0, 3, 32)]


def build(xla):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    hidden = keras.layers.Activation("tanh")(keras.layers.Dense(5)(inputs))
    model = CompiledStepModel(inputs, keras.layers.Dense(3)(hidden), xla=xla, accumulation=2, agc=0.5)
    model.compile(
        SGDL2(1e-3, ("kernel",), sums_gradients=False, learning_rate=0.2, momentum=0.9, use_ema=True, ema_momentum=0.5),
        keras.losses.CategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight"),
        weighted_metrics=["accuracy"],
        steps_per_execution=2,
    )
    return model


def batches(shard=0, shards=1):
    """Each worker's rows of every batch."""
    size = BATCH // shards
    x, y = (array.reshape(STEPS, shards, size, -1)[:, shard].reshape(STEPS * size, -1) for array in arrays())
    weights = np.linspace(0.1, 2, 32, dtype="float32").reshape(STEPS, shards, size)[:, shard].reshape(-1)
    return tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(size, drop_remainder=True)


def fit(model, training, validation):
    history = model.fit(
        training,
        validation_data=validation,
        epochs=EPOCHS,
        steps_per_epoch=STEPS,
        callbacks=[keras.callbacks.SwapEMAWeights()],
        shuffle=False,
        verbose=0,
    )
    return history.history


def figures(model, history):
    arrays = {f"weight_{i}": v.numpy() for i, v in enumerate(model.weights)}
    return arrays | {name: np.array(values) for name, values in history.items()}


def main(out, xla):
    try:
        there = strategies.devices("multi_worker", timeout=60.0)
    except UsageError as error:
        sys.exit(str(error))
    with there.strategy.scope():
        model = build(xla == "xla")
    distribute = there.strategy.distribute_datasets_from_function
    training = distribute(lambda _: batches(there.worker, there.workers).repeat())
    validation = distribute(lambda _: batches(there.worker, there.workers))
    history = fit(model, training, validation)
    assert there.is_chief == strategies.is_chief(there.strategy) == (there.worker == 0)
    np.savez(f"{out}/{there.worker}.npz", **figures(model, history))


if __name__ == "__main__":
    main(*sys.argv[1:])
