"""What dividing a batch among replicas costs."""

import tensorflow as tf

from keras_wn.benchmarks.table import Table
from keras_wn.benchmarks.timing import Comparison, interleaved
from keras_wn.data import digits, pipeline
from keras_wn.training import building, devices, schedules

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
        f"{request.replicas} replicas": {"strategy": "mirrored", "virtual_devices": request.replicas},
        "1 replica": {"strategy": "none"},
    }
    variants = {str(variant): variant for variant in request.variants}
    # The strategy of several first: it divides the processor before TensorFlow starts.
    there = {count: devices.of_run(request.config(request.variants[0], **options[count])) for count in options}
    counts = ["1 replica", f"{request.replicas} replicas"]
    actions = {
        (name, count): _steps(request.config(variant, **options[count]), there[count])
        for name, variant in variants.items()
        for count in counts
    }
    seconds = interleaved(actions, request.rounds, warm_up=2).seconds
    by_variant = {name: {count: seconds[name, count] for count in counts} for name in variants}
    by_count = {count: {name: seconds[name, count] for name in variants} for count in counts}
    compared = {**by_variant, **(by_count if len(variants) > 1 else {})}
    return [
        Table(f"{_STEPS} steps: {what}, {request}; {request.rounds} rounds in turns", Comparison(of_each).rows())
        for what, of_each in compared.items()
    ]


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
