"""What the runner adds to a bare training step."""

import pathlib
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from keras_wn.benchmarks.table import Table
from keras_wn.benchmarks.timing import interleaved
from keras_wn.data import digits
from keras_wn.training import building, devices
from keras_wn.training.model_dir import ModelDir
from keras_wn.training.session import Session

_STEPS = 4


def measure(request):
    """A bare `tf.function` step on data in memory, and the same step through the runner: its `fit`, data and callbacks.

    Args:
        request: `Request`.

    Returns:
        List of `Table`, one a variant.
    """
    return [_measured(request, variant) for variant in request.variants]


def _measured(request, variant):
    with tempfile.TemporaryDirectory() as folder:
        config = request.config(variant, model_dir=folder)
        splits = digits.load(request.image_size)
        session = Session(config, splits, ModelDir(folder, config), devices.of_run(config))
        pathlib.Path(folder, "checkpoints").mkdir()
        through_runner = _fit(session)
        images, labels = splits.train.sample(request.batch_size, seed=0)
        bare = _bare(config, splits, session.schedule, tf.constant(images), tf.one_hot(labels, splits.classes))
        rows = interleaved({"bare step": bare, "runner": through_runner}, request.rounds, warm_up=2).rows()
    return Table(f"{_STEPS} steps: {variant}, {request}; {request.rounds} rounds in turns", rows)


def _bare(config, splits, schedule, images, labels):
    model = building.build(config, splits.image_shape, splits.classes, schedule, devices.of_run(config), xla=False)
    model.optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = model.loss(labels, model(images, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)
        return loss

    def run():
        for _ in range(_STEPS):
            step().numpy()

    return run


def _fit(session):
    times = _StepTimes()
    callbacks = [*session.callbacks(0, []), times]
    batches = session.splits.train.training_batches(session.config.batch_size, session.splits.classes, seed=0)

    def run():
        # One step more, whose start is not counted: there, Keras makes its iterator and TensorBoard its files.
        session.model.fit(batches, steps_per_epoch=_STEPS + 1, callbacks=callbacks, verbose=0, shuffle=False)
        return float(np.sum(times.seconds[-_STEPS:]))

    return run


class _StepTimes(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seconds, self._last = [], time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now
