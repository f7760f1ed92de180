"""Measures what dividing a batch among replicas costs."""

import numpy as np

from keras_wn.benchmarks.table import Table
from keras_wn.benchmarks.timing import Comparison, interleaved
from keras_wn.data import digits
from keras_wn.training import devices, loop

_STEPS = 4


def measure(request):
    """Steps of the same global batch on one device and on several, which share this machine's processor.

    Args:
        request: `Request`.

    Returns:
        List of `Table`: one a variant, of one device and several; and, if there are several variants, one a number of devices, of
        the variants.
    """
    options = {
        f"{request.replicas} replicas": {
            "strategy": "mirrored",
            "virtual_devices": request.replicas,
        },
        "1 replica": {"strategy": "none"},
    }
    variants = {str(variant): variant for variant in request.variants}
    # The strategy of several comes first, because it divides the processor before TensorFlow starts.
    devices_of = {
        count: devices.find(request.config(request.variants[0], **options[count]))
        for count in options
    }
    counts = ["1 replica", f"{request.replicas} replicas"]
    actions = {
        (name, count): _steps(request.config(variant, **options[count]), devices_of[count])
        for name, variant in variants.items()
        for count in counts
    }
    seconds = interleaved(actions, request.rounds, warm_up=2).seconds
    by_variant = {name: {count: seconds[name, count] for count in counts} for name in variants}
    by_count = {count: {name: seconds[name, count] for name in variants} for count in counts}
    compared = {**by_variant, **(by_count if len(variants) > 1 else {})}
    return [
        Table(
            f"{_STEPS} steps: {what}, {request}; {request.rounds} rounds in turns",
            Comparison(of_each).rows(),
        )
        for what, of_each in compared.items()
    ]


def _steps(config, devices):
    splits = digits.load(config.image_size)
    images, labels = splits.train.sample(config.batch_size, seed=0)
    one_hot = np.eye(splits.classes, dtype="float32")[labels]
    step = loop.make_step(config, splits.image_shape, splits.classes, devices)
    rates = np.full(1, 0.01, "float32")

    def run():
        for _ in range(_STEPS):
            np.asarray(step.train(images[None], one_hot[None], rates, config.weight_decay))

    return run
