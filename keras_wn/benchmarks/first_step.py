"""A process that takes one training step and prints how long it took from the data on; `startup` starts it."""

import pathlib
import sys
import tempfile
import time

import keras

from keras_wn.benchmarks.request import Request, Variant
from keras_wn.data import digits
from keras_wn.training import devices, schedules
from keras_wn.training.model_dir import ModelDir
from keras_wn.training.session import Session


def main():
    kind, variant, model, batch_size, image_size = sys.argv[1:]
    request = Request((Variant.parse(variant),), model, int(batch_size), int(image_size), rounds=1)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        splits = digits.load(request.image_size)
        batches = splits.train.training_batches(request.batch_size, splits.classes, seed=0)
        clock = _Clock()
        if kind == "runner":
            _through_runner(request, splits, batches, folder, clock)
        else:
            _through_keras(request, splits, batches, clock)
        print(clock.at_end - start)


class _Clock(keras.callbacks.Callback):
    """When the step ended: what `fit` does after an epoch, such as the runner's checkpoint, is no part of it."""

    def on_train_batch_end(self, batch, logs=None):
        self.at_end = time.perf_counter()


def _through_runner(request, splits, batches, folder, clock):
    (variant,) = request.variants
    config = request.config(variant, model_dir=folder)
    session = Session(config, splits, ModelDir(folder, config), devices.of_run(config))
    pathlib.Path(folder, "checkpoints").mkdir()
    callbacks = [*session.callbacks(0, []), clock]
    session.model.fit(batches, steps_per_epoch=1, callbacks=callbacks, verbose=0, shuffle=False)


def _through_keras(request, splits, batches, clock):
    (variant,) = request.variants
    model = request.network(variant, splits.classes)
    model.compile(
        optimizer=keras.optimizers.SGD(
            schedules.build("cosine", peak=0.01, total_steps=10, warmup_steps=0), momentum=0.9
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.CategoricalAccuracy("top1"), keras.metrics.TopKCategoricalAccuracy(5, "top5")],
    )
    model.fit(batches, steps_per_epoch=1, callbacks=[clock], verbose=0, shuffle=False)


if __name__ == "__main__":
    main()
