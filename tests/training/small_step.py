"""A step small enough to be tested by itself, in this process or in others.

`python tests/training/small_step.py OUT STRATEGY FLAGS...` trains it for each of some FLAGS, which
are JSON, and saves the weights to OUT, by the number of the process and of the flags.
"""

import json
import sys

import keras
import numpy as np

from keras_wn import methods, models
from keras_wn.training import devices, loop
from keras_wn.training.config import TrainConfig

RNG = np.random.default_rng(0)
STEPS, ROWS, CLASSES = 4, 8, 6
IMAGES = RNG.normal(size=(STEPS, ROWS, 8, 8, 3)).astype("float32")
LABELS = np.eye(CLASSES, dtype="float32")[RNG.integers(0, CLASSES, (STEPS, ROWS))]
RATE, DECAY = 0.05, 1e-3


def network(method, input_shape, classes, join=None, dropout=0.0):
    card = methods.get(method)
    inputs = x = keras.Input(input_shape)
    for i in range(3):
        place = methods.Place("inner")
        x = card.add_convolution(x, 8, 3, 1, place, f"conv_{i}")
        x = card.add_activation(x, f"act_{i}", place)
    x = keras.layers.Dropout(dropout)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, card.add_classifier(x, classes, "logits"))


def make(strategy="none", **flags):
    """A step at a start that is the same on every backend and for every number of devices."""
    models._BUILDERS["small"] = network
    virtual = 2 if strategy == "mirrored" else 0
    flags = {"norm": "wn", "batch_size": ROWS, "image_size": 8, **flags}
    config = TrainConfig(
        model="small", strategy=strategy, virtual_devices=virtual, **flags
    ).resolved()
    keras.config.set_dtype_policy(config.precision)
    keras.utils.set_random_seed(0)
    chosen = devices.find(config)
    step = loop.make_step(config, (8, 8, 3), CLASSES, chosen)
    rng = np.random.default_rng(1)
    for variable in step.model.trainable_variables:
        if len(variable.shape) > 1:
            fan_in = np.prod(variable.shape[:-1])
            variable.assign(rng.normal(0, np.sqrt(2 / fan_in), variable.shape))
        else:
            start = 1.0 if variable.name in ("kernel_g", "gamma") else 0.0
            variable.assign(rng.normal(start, 0.1, variable.shape))
    return step


def labels_of(batch_size):
    """The labels where the rows after a batch are there for their statistics alone."""
    return LABELS * (np.arange(ROWS) < batch_size)[:, None].astype("float32")


def train(step, worker=0, workers=1, per_call=1, images=IMAGES, labels=LABELS, epochs=2):
    """Trains for some epochs of four steps; returns the sums of each call."""
    rows = slice(ROWS // workers * worker, ROWS // workers * (worker + 1))
    step.load()
    sums = []
    for _ in range(epochs):
        for i in range(0, STEPS, per_call):
            batch = (array[i : i + per_call, rows] for array in (images, labels))
            sums.append(np.asarray(step.train(*batch, np.full(per_call, RATE, "float32"), DECAY)))
    step.store()
    return np.array(sums)


def values(step):
    """All variables by a name that is unique."""
    variables = [*step.model.variables, *step.optimizer.variables]
    return {f"{i} {v.path}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)}


def main(out, strategy, *cases):
    for number, case in enumerate(cases):
        flags = json.loads(case)
        step = make(strategy, **flags)
        worker, workers = step._devices.shard
        sums = train(step, worker, workers, labels=labels_of(flags.get("batch_size", ROWS)))
        found = step.evaluate(IMAGES[0][: ROWS // workers], LABELS[0][: ROWS // workers])
        path = f"{out}/{worker}-{number}.npz"
        np.savez(path, sums=sums, evaluated=np.asarray(found), **values(step))


if __name__ == "__main__":
    main(*sys.argv[1:])
