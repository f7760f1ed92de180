"""What a checkpoint costs."""

import pathlib
import tempfile
import time

import numpy as np

from keras_wn.benchmarks.table import Table
from keras_wn.benchmarks.timing import interleaved
from keras_wn.data import digits
from keras_wn.training import building, devices, schedules
from keras_wn.training.checkpoints import Checkpoints

_STEPS = 500


def measure(request):
    """Seconds of a training step, and of writing a checkpoint of the same model.

    Args:
        request: `Request`.

    Returns:
        List of `Table`, one a variant.
    """
    return [_measured(request, variant) for variant in request.variants]


def _measured(request, variant):
    config = request.config(variant)
    splits = digits.load(request.image_size)
    schedule = schedules.build("cosine", peak=0.01, total_steps=10, warmup_steps=0)
    net = building.build(config, splits.image_shape, splits.classes, schedule, devices.of_run(config), xla=False)
    images, labels = splits.train.sample(request.batch_size, seed=0)
    labels = np.eye(splits.classes, dtype="float32")[labels]
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(pathlib.Path(folder), {})

        def write():
            start = time.perf_counter()
            checkpoints.write(net, step=1)
            return time.perf_counter() - start

        actions = {"step": lambda: net.train_on_batch(images, labels) and None, "checkpoint": write}
        rows = interleaved(actions, request.rounds, warm_up=2).rows()
    step, checkpoint = (row["seconds"] for row in rows)
    note = f"One checkpoint in {_STEPS} steps takes {checkpoint / (_STEPS * step):.2%} of their time."
    return Table(f"a checkpoint: {variant}, {request}; {request.rounds} rounds in turns", rows, notes=(note,))
