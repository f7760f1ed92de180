"""The cost suite's trials: steps of every method, timed in turns."""

import tensorflow as tf

from keras_wn.benchmarks.timing import interleaved
from keras_wn.data import digits, pipeline
from keras_wn.study.spec import record_of
from keras_wn.training import building, devices, schedules
from keras_wn.training.config import TrainConfig

_WARM_UP = 2


def run(protocol, specs):
    """Times steps on one batch in memory, a few of each method in turns.

    Args:
        protocol: `Protocol`.
        specs: List of `TrialSpec`, one a method.

    Returns:
        List of dicts: the lines of the log.
    """
    asked = protocol.cost
    actions = {spec.method: _steps(protocol, spec) for spec in specs}
    seconds = interleaved(actions, asked["rounds"], _WARM_UP).seconds
    return [_record(spec, seconds[spec.method], asked["steps"]) for spec in specs]


def _record(spec, seconds, steps):
    total = float(seconds.sum())
    return {
        **record_of(spec),
        "status": "finished",
        "step_seconds": [float(s) / steps for s in seconds],
        "seconds": {"training": total, "total": total},
    }


def _steps(protocol, spec):
    asked = protocol.cost
    config = TrainConfig(
        norm=spec.method,
        model=spec.model,
        dataset="digits",
        image_size=asked["image_size"],
        batch_size=asked["batch_size"],
        weight_decay=spec.weight_decay,
        momentum=protocol.momentum,
        precision=protocol.precision,
    ).resolved()
    there = devices.of_run(config)
    # Whatever the data set, a step takes as long: the digits are always there.
    splits = digits.load(asked["image_size"])
    images, labels = splits.train.sample(config.batch_size, spec.seed)
    schedule = schedules.build(protocol.schedule, peak=spec.learning_rate, total_steps=1000, warmup_steps=0)
    with there.scope():
        model = building.build(
            config, splits.image_shape, splits.classes, schedule, there, devices.compiles(config.xla)
        )
    batch = (tf.constant(images), tf.one_hot(labels, splits.classes))
    batches = pipeline.untuned(tf.data.Dataset.from_tensors(batch).repeat())

    def run():
        model.fit(there.fed(batches), steps_per_epoch=asked["steps"], shuffle=False, verbose=0)

    return run
