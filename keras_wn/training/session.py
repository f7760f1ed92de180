"""One training run, from its first line on the screen to its last file."""

import math
import sys
import time

import keras
import numpy as np

from keras_wn.training import building, devices, files, provenance, results, schedules, signal, steps
from keras_wn.training.callbacks import MetricsLog, RemainingTime
from keras_wn.training.checkpoints import Checkpoints
from keras_wn.training.config import BASE_BATCH_SIZE
from keras_wn.training.diverged import StopDiverged, weights_are_finite
from keras_wn.training.keeping import KeepBest, KeepState, Stopping, save_model
from keras_wn.training.stop import StopRequest
from keras_wn.training.watching import Watch

# Images on which gradients and blocks are measured after an epoch, and steps between two points in TensorBoard.
_WATCHED_IMAGES = 16
_WATCH_STEPS = 100


class Session:
    """Builds the model of a run, trains it, measures it and writes its files.

    Args:
        config: Resolved `TrainConfig`.
        splits: `keras_wn.data.Splits`.
        folder: `ModelDir`.
        there: `Devices`.
    """

    def __init__(self, config, splits, folder, there):
        self.config = config
        self.splits = splits
        self.folder = folder
        self.devices = there
        self.xla = devices.compiles(config.xla)
        self.steps_per_epoch = config.steps_per_epoch(splits)
        self.started = time.perf_counter()
        self.schedule = schedules.build(
            config.schedule,
            peak=config.base_learning_rate * config.images_per_update / BASE_BATCH_SIZE,
            total_steps=config.updates(splits, config.train_epochs),
            warmup_steps=config.updates(splits, config.warmup_epochs),
        )
        self.checkpoints = Checkpoints(
            folder.checkpoints, {name: getattr(config, name) for name in ("norm", "model", "join")}, there.is_chief
        )
        self.stop = StopRequest()
        self.keep = None
        self.metrics_log = MetricsLog(
            folder.metrics_jsonl if there.is_chief else None, config.batch_size, self.steps_per_epoch, self.rate_of
        )
        keras.config.set_dtype_policy(config.precision)
        keras.utils.set_random_seed(config.seed)
        self._say_what_runs()
        with there.scope():
            self.model = building.build(config, splits.image_shape, splits.classes, self.schedule, there, self.xla)

    def run(self, resume, overwrite, signal_only):
        step, metrics = self._start(resume, overwrite)
        try:
            with self.stop.listening(), self.splits.corrupt.explained():
                if not step:
                    self._initialize()
                    self._report_signal()
                if signal_only:
                    return None
                finite = self._fit(step, metrics)
                final = self._evaluate()
            finite = finite and all(math.isfinite(figures["loss"]) for figures in final.values())
            return self._finish("finished" if finite else "diverged", final)
        except KeyboardInterrupt as stopped:
            return self._finish("interrupted", {}, stopped_by=getattr(stopped, "name", "SIGINT"))

    def _start(self, resume, overwrite):
        if self.devices.is_chief:
            self.folder.check_space(self.model.count_params())
            files.remove_leftovers(self.folder.path)
        if not resume:
            if self.devices.is_chief:
                self.folder.start(provenance.of_run(self.config, self.splits, self.devices.replicas), overwrite)
            return 0, []
        with self.devices.scope():
            step, metrics = self.checkpoints.restore_newest(self.model)
        if self.devices.is_chief:
            files.keep_json_lines(self.folder.metrics_jsonl, lambda record: record["step"] <= step)
        print(f"Continuing after step {step}.", flush=True)
        return step, metrics

    def _say_what_runs(self):
        config, card, splits, there = self.config, self.config.card, self.splits, self.devices
        counts = f"{len(splits.train)} training, {len(splits.validation)} validation, {len(splits.test)} test images"
        print(f"Data: {provenance.DATA[splits.name]}: {counts}.")
        print(f"Run: {config.model}, {card.title} (--norm={config.norm}), join {config.join}, seed {config.seed}.")
        print(
            f"{config.train_epochs} epochs ({config.warmup_epochs:g} of them warm-up) of {self.steps_per_epoch} steps "
            f"of {config.batch_size} images; learning rate up to {self.schedule.peak:g}.",
            flush=True,
        )
        if there.replicas > 1 or self.xla:
            print(
                f"Devices: {there.replicas}, each {config.batch_size // there.replicas} images a step; XLA {'on' if self.xla else 'off'}."
            )
        if there.workers > 1:
            print(f"Worker {there.worker} of {there.workers}; worker 0 writes the files.")
        if config.join in card.unstable_joins:
            print(
                f"Warning: --join={config.join} with --norm={config.norm}: {card.unstable_joins[config.join]}.",
                file=sys.stderr,
            )

    def rate_of(self, step):
        """Learning rate of a step, counted from 1."""
        return float(self.schedule((step - 1) // self.config.accumulation))

    def _initialize(self):
        if self.config.card.initialize:
            # Of the whole batch, in every process: all of them start from the same weights.
            images, _ = self.splits.train.sample(self.config.batch_size * self.config.init_batches, self.config.seed)
            self.config.card.initialize(self.model, images)

    def _report_signal(self):
        if not self.devices.is_chief:
            return
        images, labels = self._sample(self.config.batch_size)
        signals, _ = signal.measure(self.model, images, labels, self.model.loss)
        title = f"Signal by residual block at the start: {self.config.model}, {self.config.card.title}, join {self.config.join}"
        print(f"{title}\n{signal.table(signals)}", flush=True)
        signal.write(signals, title, self.folder.signal_json, self.folder.signal_png)

    def _sample(self, count):
        """Training images and their one-hot labels, the same in every run of a seed."""
        images, labels = self.splits.train.sample(count, self.config.seed)
        return images, np.eye(self.splits.classes, dtype="float32")[labels]

    def _fit(self, step, metrics):
        """Trains from a step on; whether the loss stayed finite."""
        config, finite = self.config, True
        callbacks = self.callbacks(step, metrics)
        parts = steps.parts(step, self.steps_per_epoch, config.epochs)
        for part in parts:
            batches = self.splits.train.training_batches(
                config.batch_size, self.splits.classes, config.seed, part.first_step, self.devices.shard
            )
            history = self.model.fit(
                self.devices.fed(batches),
                validation_data=self._evaluation_batches(self.splits.validation),
                initial_epoch=part.first_epoch,
                epochs=part.last_epoch,
                steps_per_epoch=part.steps_per_epoch,
                callbacks=callbacks if part is parts[-1] else [*callbacks, steps.NotTheEnd()],
                shuffle=False,
                verbose="auto" if self.devices.is_chief else 0,
            )
            finite = math.isfinite(history.history["loss"][-1]) and weights_are_finite(self.model)
            if not finite:
                break
        return finite

    def callbacks(self, step, metrics):
        """What acts as the net trains: see `TrainConfig` and the classes' own texts."""
        config, chief = self.config, self.devices.is_chief
        self.keep = KeepState(
            self.checkpoints,
            self.devices.workers == 1,
            config.checkpoint_steps,
            self.steps_per_epoch,
            step,
            metrics,
            self.stop,
        )
        # The best model is saved before the averaged weights, which validation saw, are put back.
        callbacks = [StopDiverged()]
        callbacks += [KeepBest(self.folder.best_keras, results.best_top1(self.folder))] if chief else []
        callbacks += [keras.callbacks.SwapEMAWeights()] if config.ema else []
        callbacks += [self.metrics_log]
        if chief:
            batch = self._sample(min(_WATCHED_IMAGES, config.batch_size))
            callbacks += [
                Watch(
                    self.folder.tensorboard / "watch",
                    self.rate_of,
                    _WATCH_STEPS,
                    self.steps_per_epoch,
                    step,
                    config.batch_size,
                    batch,
                ),
                keras.callbacks.TensorBoard(
                    self.folder.tensorboard, write_graph=False, profile_batch=config.profile_range()
                ),
                RemainingTime(),
            ]
        return [*callbacks, self.keep]

    def _evaluate(self):
        """Figures of each split in inference mode, on images as they are."""
        figures = {}
        for name in ("train", "validation", "test"):
            print(f"Measuring on the {name} images, in inference mode:", flush=True)
            batches = self._evaluation_batches(getattr(self.splits, name))
            figures[name] = self.model.evaluate(batches, return_dict=True, callbacks=[Stopping(self.stop)])
        return figures

    def _evaluation_batches(self, split):
        there = self.devices
        return there.fed(
            split.evaluation_batches(self.config.batch_size, self.splits.classes, there.replicas, there.shard)
        )

    def _finish(self, status, final, stopped_by=None):
        there, step = self.devices, self.keep.step if self.keep else 0
        result = {"status": status, "step": step, "final": final, "stopped_by": stopped_by}
        if corrupt := self.splits.corrupt.summary():
            print(f"Warning: {corrupt}", file=sys.stderr)
        if there.is_chief:
            save_model(self.model, self.folder.model_keras)
            context = provenance.of_result(self.config, self.splits, there.replicas, time.perf_counter() - self.started)
            speed = self.metrics_log.typical_images_per_second()
            result = results.summarize(self.config, self.folder, **result, images_per_second=speed, context=context)
            results.show(result, self.folder)
        return result
