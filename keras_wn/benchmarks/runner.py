"""Measures what the runner's training loop adds to a bare training step."""

import dataclasses
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from keras_wn.benchmarks.request import Request
from keras_wn.benchmarks.table import Table
from keras_wn.data import digits
from keras_wn.training import devices, loop
from keras_wn.training.config import TrainConfig
from keras_wn.training.model_dir import ModelDir
from keras_wn.training.run import Run
from keras_wn.training.timing import interleaved

_STEPS = 4


def measure(request: Request) -> list[Table]:
    """Times a bare `tf.function` step on data in memory, and the same step in the runner's loop.

    Args:
        request: `Request`.

    Returns:
        List of `Table`, one for each variant.
    """
    return [_measured(request, variant) for variant in request.variants]


def _measured(request, variant):
    with tempfile.TemporaryDirectory() as folder:
        config = request.config(variant, model_dir=folder)
        in_loop = _steps_in_loop(new_run(folder, config, request.image_size))
        actions = {"bare step": _bare_steps(config, request), "runner": in_loop}
        rows = interleaved(actions, request.rounds, warm_up=2).rows()
    return Table(f"{_STEPS} steps: {variant}, {request}; {request.rounds} rounds in turns", rows)


def new_run(folder: str, config: TrainConfig, image_size: int) -> Run:
    """A run on the embedded digits, whose files lie in an empty folder."""
    pathlib.Path(folder, "checkpoints").mkdir()
    splits = digits.load(image_size)
    return loop.make_run(config, splits, ModelDir(folder, config), devices.find(config))


def _bare_steps(config, request):
    splits = digits.load(request.image_size)
    step = loop.make_step(config, splits.image_shape, splits.classes, devices.find(config))
    model, optimizer, loss = step.model, step.optimizer, step.loss
    optimizer.learning_rate = 0.01
    images, labels = splits.train.sample(request.batch_size, seed=0)
    images, labels = tf.constant(images), tf.one_hot(labels, splits.classes)

    @tf.function
    def bare_step():
        with tf.GradientTape() as tape:
            value = loss(labels, model(images, training=True))
        optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)
        return value

    def run_steps():
        for _ in range(_STEPS):
            bare_step().numpy()

    return run_steps


def _steps_in_loop(run):
    batches = loop.training_batches(run.config, run.splits, 0)
    # The end of an additional first step starts the clock.
    plan = dataclasses.replace(run.plan, rates=run.plan.rates[: _STEPS + 1])

    def run_steps():
        run.step_ends.clear()
        with run.shown(0):
            loop.train_steps(run.step, batches, plan, run, run.stop)
        return float(np.subtract(run.step_ends[-1], run.step_ends[0]))

    return run_steps
