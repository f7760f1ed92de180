"""Measures what dividing a batch among replicas costs on one processor."""

import numpy as np

from keras_wn.benchmarks.workload import Workload
from keras_wn.data import digits
from keras_wn.training import devices as device_choice
from keras_wn.training import loop
from keras_wn.training.text_table import Table
from keras_wn.training.timing import Comparison, interleaved

_STEPS = 4


def measure(workload: Workload) -> list[Table]:
    """Times steps of the same global batch on one device and on several devices of the processor.

    Args:
        workload: `Workload`.

    Returns:
        List of `Table`. Each variant has a table that compares the numbers of devices. If the
        workload has several variants, each number of devices has a table that compares these.
    """
    several = f"{workload.replicas} replicas"
    options = {
        several: {"strategy": "mirrored", "virtual_devices": workload.replicas},
        "1 replica": {"strategy": "none"},
    }
    variants = {str(variant): variant for variant in workload.variants}
    # Several devices come first, because the processor is divided before TensorFlow starts.
    devices = {
        count: device_choice.find(workload.config(workload.variants[0], **options[count]))
        for count in options
    }
    counts = ["1 replica", several]
    actions = {
        (name, count): _steps(workload.config(variant, **options[count]), devices[count])
        for name, variant in variants.items()
        for count in counts
    }
    seconds = interleaved(actions, workload.rounds, warm_up=2).seconds
    by_variant = {name: {count: seconds[name, count] for count in counts} for name in variants}
    by_count = {count: {name: seconds[name, count] for name in variants} for count in counts}
    comparisons = {**by_variant, **(by_count if len(variants) > 1 else {})}
    return [
        Table(
            f"{_STEPS} steps: {fixed}, {workload}; {workload.rounds} rounds in turns",
            Comparison(seconds_by_name).rows(),
        )
        for fixed, seconds_by_name in comparisons.items()
    ]


def _steps(config, devices):
    splits = digits.load(config.image_size)
    images, labels = splits.train.sample(config.batch_size, seed=0)
    one_hot = np.eye(splits.classes, dtype="float32")[labels]
    step = loop.make_step(config, splits.image_shape, splits.classes, devices)
    rates = np.full(1, 0.01, "float32")

    def run_steps():
        for _ in range(_STEPS):
            np.asarray(step.train(images[None], one_hot[None], rates, config.weight_decay))

    return run_steps
