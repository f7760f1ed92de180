"""What dividing a batch among replicas costs."""

import tensorflow as tf

from keras_wn.benchmarks.timing import interleaved
from keras_wn.data import digits
from keras_wn.training import building, devices, schedules
from keras_wn.training.config import TrainConfig


def measure(norm, model, batch_size, image_size, rounds):
    """One step of the same global batch on one device and on two, which share this machine's processor.

    Args:
        norm, model: Names of the method and of the network.
        batch_size, image_size, rounds: Positive integers.

    Returns:
        `Comparison` of the seconds of a step.
    """
    options = {"norm": norm, "model": model, "batch_size": batch_size}
    # The strategy of two first: it divides the processor before TensorFlow starts.
    two = TrainConfig(strategy="mirrored", virtual_devices=2, **options).resolved()
    there = devices.of_run(two)
    one = TrainConfig(strategy="none", **options).resolved()
    actions = {
        "1 replica": _steps(one, devices.of_run(one), image_size),
        "2 replicas": _steps(two, there, image_size),
    }
    return interleaved(actions, rounds, warm_up=2)


def _steps(config, there, image_size):
    splits = digits.load(image_size)
    images, labels = splits.train.sample(config.batch_size, seed=0)
    batch = (tf.constant(images), tf.one_hot(labels, splits.classes))
    schedule = schedules.build("cosine", peak=0.01, total_steps=10, warmup_steps=0)
    with there.scope():
        model = building.build(config, splits.image_shape, splits.classes, schedule, there, xla=False)
    data = tf.data.Dataset.from_tensors(batch).repeat()
    steps = 4

    def run():
        model.fit(data, steps_per_epoch=steps, verbose=0, shuffle=False)

    return run
