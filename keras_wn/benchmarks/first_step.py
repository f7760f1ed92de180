"""Takes one training step in a process of its own, and prints the seconds from the data to its end.

`startup` starts this process.
"""

import dataclasses
import sys
import tempfile
import time

import keras

from keras_wn.benchmarks.request import Request, Variant
from keras_wn.benchmarks.runner import run_in
from keras_wn.data import digits
from keras_wn.training import loop, schedules


def main():
    kind, variant, model, batch_size, image_size = sys.argv[1:]
    request = Request((Variant.parse(variant),), model, int(batch_size), int(image_size), rounds=1)
    take_step = _through_runner if kind == "runner" else _through_keras
    print(take_step(request))


def _through_runner(request):
    (variant,) = request.variants
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run = run_in(folder, request.config(variant, model_dir=folder), request.image_size)
        plan = dataclasses.replace(run.plan, rates=run.plan.rates[:1])
        batches = loop.training_batches(run.config, run.splits, 0)
        with run.shown(0):
            loop.train_steps(run.step, batches, plan, run, run.stop)
        return run.step_ends[-1] - start


class _Clock(keras.callbacks.Callback):
    """Notes when the step ended: `fit`'s work after an epoch is no part of it."""

    def on_train_batch_end(self, batch, logs=None):
        self.at_end = time.perf_counter()


def _through_keras(request):
    (variant,) = request.variants
    start, clock = time.perf_counter(), _Clock()
    splits = digits.load(request.image_size)
    batches = splits.train.training_batches(request.batch_size, splits.classes, seed=0)
    model = request.network(variant, splits.classes)
    model.compile(
        optimizer=keras.optimizers.SGD(
            schedules.build("cosine", peak=0.01, total_steps=10, warmup_steps=0), momentum=0.9
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.CategoricalAccuracy("top1"),
            keras.metrics.TopKCategoricalAccuracy(5, "top5"),
        ],
    )
    model.fit(batches, steps_per_epoch=1, callbacks=[clock], verbose=0, shuffle=False)
    return clock.at_end - start


if __name__ == "__main__":
    main()
