"""What a checkpoint costs."""

import pathlib
import tempfile
import time

import numpy as np

from keras_wn.benchmarks.timing import interleaved
from keras_wn.data import digits
from keras_wn.training import building, devices, schedules
from keras_wn.training.checkpoints import Checkpoints
from keras_wn.training.config import TrainConfig


def measure(norm, model, batch_size, image_size, rounds):
    """Seconds of a training step, and of writing a checkpoint of the same model.

    Args:
        norm, model: Names of the method and of the network.
        batch_size, image_size, rounds: Positive integers.

    Returns:
        `Comparison`.
    """
    config = TrainConfig(norm=norm, model=model, batch_size=batch_size).resolved()
    splits = digits.load(image_size)
    schedule = schedules.build("cosine", peak=0.01, total_steps=10, warmup_steps=0)
    net = building.build(config, splits.image_shape, splits.classes, schedule, devices.of_run(config), xla=False)
    images, labels = splits.train.sample(batch_size, seed=0)
    labels = np.eye(splits.classes, dtype="float32")[labels]
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(pathlib.Path(folder), {})

        def write():
            start = time.perf_counter()
            checkpoints.write(net, step=1)
            return time.perf_counter() - start

        return interleaved(
            {"step": lambda: net.train_on_batch(images, labels) and None, "checkpoint": write}, rounds, warm_up=2
        )
