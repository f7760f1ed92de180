"""Measures how long writing a checkpoint takes, as a share of the steps between two checkpoints."""

import pathlib
import tempfile
import time

import numpy as np

from keras_wn.benchmarks.request import Request
from keras_wn.benchmarks.table import Table
from keras_wn.data import digits
from keras_wn.training import devices, loop
from keras_wn.training.checkpoints import Checkpoints
from keras_wn.training.timing import interleaved

# The runners' default of --checkpoint_steps.
_STEPS = 500


def measure(request: Request) -> list[Table]:
    """Times a training step, and writing a checkpoint of the same model, in turns.

    Args:
        request: `Request`.

    Returns:
        List of `Table`, one for each variant.
    """
    return [_measured(request, variant) for variant in request.variants]


def _measured(request, variant):
    config = request.config(variant)
    splits = digits.load(request.image_size)
    step = loop.make_step(config, splits.image_shape, splits.classes, devices.find(config))
    images, labels = splits.train.sample(request.batch_size, seed=0)
    labels = np.eye(splits.classes, dtype="float32")[labels]
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(pathlib.Path(folder), {})

        def write():
            start = time.perf_counter()
            checkpoints.write([*step.model.variables, *step.optimizer.variables], step=1)
            return time.perf_counter() - start

        def train():
            np.asarray(
                step.train(images[None], labels[None], np.zeros(1, "float32"), config.weight_decay)
            )

        actions = {"step": train, "checkpoint": write}
        rows = interleaved(actions, request.rounds, warm_up=2).rows()
    step_seconds, seconds = (row["seconds"] for row in rows)
    share = seconds / (_STEPS * step_seconds)
    note = f"One checkpoint in {_STEPS} steps takes {share:.2%} of their time."
    title = f"a checkpoint: {variant}, {request}; {request.rounds} rounds in turns"
    return Table(title, rows, notes=(note,))
