"""What dividing a batch among replicas costs."""

import tensorflow as tf

from keras_wn.benchmarks.table import Table
from keras_wn.benchmarks.timing import interleaved
from keras_wn.data import digits, pipeline
from keras_wn.training import building, devices, schedules

_STEPS = 4


def measure(request):
    """Steps of the same global batch on one device and on several, which share this machine's processor.

    Args:
        request: `Request`.

    Returns:
        List of `Table`, one a variant.
    """
    return [_measured(request, variant) for variant in request.variants]


def _measured(request, variant):
    # The strategy of several first: it divides the processor before TensorFlow starts.
    several = request.config(variant, strategy="mirrored", virtual_devices=request.replicas)
    there = devices.of_run(several)
    one = request.config(variant, strategy="none")
    actions = {
        "1 replica": _steps(one, devices.of_run(one)),
        f"{request.replicas} replicas": _steps(several, there),
    }
    rows = interleaved(actions, request.rounds, warm_up=2).rows()
    return Table(f"{_STEPS} steps: {variant}, {request}; {request.rounds} rounds in turns", rows)


def _steps(config, there):
    splits = digits.load(config.image_size)
    images, labels = splits.train.sample(config.batch_size, seed=0)
    batch = (tf.constant(images), tf.one_hot(labels, splits.classes))
    schedule = schedules.build("cosine", peak=0.01, total_steps=10, warmup_steps=0)
    with there.scope():
        model = building.build(config, splits.image_shape, splits.classes, schedule, there, xla=False)
    data = pipeline.untuned(tf.data.Dataset.from_tensors(batch).repeat())

    def run():
        model.fit(data, steps_per_epoch=_STEPS, verbose=0, shuffle=False)

    return run
