"""Times training steps of a study's networks, on images that are always at hand."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_wn.data import digits
from keras_wn.study.forecast import multiply_adds
from keras_wn.study.protocol import Protocol
from keras_wn.study.specs import TrialSpec, empty_record
from keras_wn.training import devices, loop
from keras_wn.training.config import TrainConfig
from keras_wn.training.timing import interleaved

# Time enough steps that Python's overhead is negligible: about this many multiplications, and this
# many steps at most.
_MULTIPLY_ADDS, _STEPS = 5e9, 50


def time_steps(protocol: Protocol, specs: Sequence[TrialSpec]) -> list[dict[str, Any]]:
    """Times steps of every method in turns, on one batch in memory: trials of the cost suite.

    Args:
        protocol: `Protocol`.
        specs: List of `TrialSpec`, one a method. Each gets a line of the log.
    """
    asked = protocol.of("cost")

    def repeated(step):
        def run():
            for _ in range(asked.steps):
                step()

        return run

    actions = {spec.method: repeated(_steps(protocol, spec, asked.image_size)) for spec in specs}
    seconds = interleaved(actions, asked.rounds, warm_up=2).seconds
    totals = {spec.method: float(seconds[spec.method].sum()) for spec in specs}
    return [
        {
            **empty_record(spec),
            "status": "finished",
            "step_seconds": [float(s) / asked.steps for s in seconds[spec.method]],
            "seconds": {"training": totals[spec.method], "total": totals[spec.method]},
        }
        for spec in specs
    ]


def seconds_per_multiply_add(protocol: Protocol, spec: TrialSpec) -> float:
    """Times steps of a trial's network, for the forecast of a plan.

    Args:
        protocol: `Protocol`.
        spec: `TrialSpec`.

    Returns:
        The seconds of a step, divided by the multiplications of its forward pass.
    """
    work = spec.batch_size * multiply_adds(spec.model, protocol.image_size)
    count = int(np.clip(_MULTIPLY_ADDS / work, 1, _STEPS))
    run = _steps(protocol, spec, protocol.image_size, count)
    run()
    begun = time.perf_counter()
    run()
    return (time.perf_counter() - begun) / (count * work)


def _steps(protocol, spec, image_size, count=1) -> Callable[[], None]:
    """A function that takes some steps in one call, and waits for them."""
    config = TrainConfig(
        norm=spec.method,
        model=spec.model,
        dataset="digits",
        image_size=image_size,
        batch_size=spec.batch_size,
        weight_decay=spec.weight_decay,
        momentum=protocol.momentum,
        precision=protocol.precision,
    ).resolved()
    # A step takes as long on any images.
    splits = digits.load(config.image_size)
    images, labels = splits.train.sample(config.batch_size, spec.seed)
    one_hot = np.eye(splits.classes, dtype="float32")[labels]
    images, one_hot = (np.repeat(array[None], count, axis=0) for array in (images, one_hot))
    step = loop.make_step(config, splits.image_shape, splits.classes, devices.find(config))
    rates = np.full(count, spec.learning_rate, "float32")
    step.load()

    def run():
        # Reading the sums waits for the steps.
        np.asarray(step.train(images, one_hot, rates, config.weight_decay))

    return run
