"""A training run from its configuration to its result files."""

import math
import sys
import time

import keras
import numpy as np

from keras_wn import models
from keras_wn.data import digits, pipeline
from keras_wn.training import files, provenance, results, schedules, signal, strategies
from keras_wn.training.callbacks import MetricsLog, RemainingTime
from keras_wn.training.checkpoints import EpochCheckpoint, restore_newest
from keras_wn.training.compiled_step import CompiledStepModel
from keras_wn.training.config import BASE_BATCH_SIZE, DRY_RUN_STEPS
from keras_wn.training.errors import UsageError
from keras_wn.training.model_dir import ModelDir
from keras_wn.training.optimizer import SGDL2


def train(config, resume=False, overwrite=False, signal_only=False):
    """Trains a network as `config` says and writes the files of its `model_dir`.

    Args:
        config: `TrainConfig`.
        resume: Whether to continue the run in `model_dir` from its newest checkpoint.
        overwrite: Whether to replace the run in `model_dir`.
        signal_only: Whether to stop after the signal report.

    Returns:
        Dict, what `result.json` holds, with `status` one of `finished`, `diverged` and `interrupted`; None with `signal_only`.

    Raises:
        UsageError: For what a user can mend, before anything is written.
    """
    if keras.backend.backend() != "tensorflow":
        raise UsageError(f"KERAS_BACKEND={keras.backend.backend()}: not allowed for training. Allowed: tensorflow.")
    if signal_only and (resume or overwrite):
        raise UsageError("--signal_report trains nothing. Allowed: without --resume and --overwrite.")
    config = config.resolved()
    splits = digits.load()
    strategy = strategies.build(config.strategy, config.virtual_devices)
    config.check_against(splits, strategy.num_replicas_in_sync)
    if resume and config.model_dir is None:
        raise UsageError("--resume needs the folder of the run. Allowed: with --model_dir.")
    folder = ModelDir(config.model_dir, config)
    folder.check(resume, overwrite)
    if resume and folder.result_json.exists() and (result := results.read(folder))["status"] != "interrupted":
        print(f"This run has ended ({result['status']}): there is nothing to resume.")
        results.show(result, folder)
        return result
    try:
        return _Run(config, splits, folder, strategy)(resume, overwrite, signal_only)
    except OSError as error:
        raise UsageError(
            f"--model_dir={folder.path}: writing failed ({error}). What was written before is whole."
        ) from error


class _Run:
    def __init__(self, config, splits, folder, strategy):
        self.config = config
        self.splits = splits
        self.folder = folder
        self.strategy = strategy
        self.replicas = strategy.num_replicas_in_sync
        self.xla = strategies.compiles(config.xla)
        self.steps_per_epoch = config.steps_per_epoch(splits)
        self.epochs = 1 if config.dry_run else config.train_epochs
        self.started = time.perf_counter()
        self.schedule = schedules.build(
            config.schedule,
            peak=config.base_learning_rate * config.batch_size / BASE_BATCH_SIZE,
            total_steps=config.train_epochs * self.steps_per_epoch,
            warmup_steps=config.warmup_steps(splits),
        )
        self.metrics_log = MetricsLog(folder.metrics_jsonl, config.batch_size, self.schedule)
        keras.config.set_dtype_policy(config.precision)
        keras.utils.set_random_seed(config.seed)
        self._say_what_runs()
        with strategy.scope():
            self.model = self._build()

    def __call__(self, resume, overwrite, signal_only):
        self.folder.check_space(self.model.count_params())
        epoch = 0
        files.remove_leftovers(self.folder.path)
        if resume:
            with self.strategy.scope():
                epoch = restore_newest(self.model, self.folder.checkpoints)
            files.keep_json_lines(self.folder.metrics_jsonl, lambda record: record["epoch"] <= epoch)
        else:
            self.folder.start(provenance.of_run(self.config, self.splits, self.replicas), overwrite)
        try:
            if not epoch:
                self._initialize()
                self._report_signal()
            if signal_only:
                return None
            finite = self._fit(epoch) if epoch < self.epochs else True
            final = self._evaluate()
            finite = finite and all(math.isfinite(figures["loss"]) for figures in final.values())
            status = "finished" if finite else "diverged"
        except KeyboardInterrupt:
            status, final = "interrupted", {}
        return self._finish(status, final)

    def _say_what_runs(self):
        config, card, splits = self.config, self.config.card, self.splits
        counts = f"{len(splits.train)} training, {len(splits.validation)} validation, {len(splits.test)} test images"
        print(f"Data: {provenance.DATA[splits.name]}: {counts}.")
        print(f"Run: {config.model}, {card.title} (--norm={config.norm}), join {config.join}, seed {config.seed}.")
        print(
            f"{config.train_epochs} epochs ({config.warmup_epochs:g} of them warm-up) of {self.steps_per_epoch} steps "
            f"of {config.batch_size} images; learning rate up to {self.schedule.peak:g}.",
            flush=True,
        )
        if self.replicas > 1 or self.xla:
            print(
                f"Devices: {self.replicas}, each {config.batch_size // self.replicas} images a step; XLA {'on' if self.xla else 'off'}."
            )
        if config.join in card.unstable_joins:
            print(
                f"Warning: --join={config.join} with --norm={config.norm}: {card.unstable_joins[config.join]}.",
                file=sys.stderr,
            )

    def _build(self):
        config, splits = self.config, self.splits
        build = models.get(config.model)
        model = build(config.norm, splits.train.images.shape[1:], splits.classes, config.join, config.dropout)
        compiled_step = self.replicas > 1 or self.xla
        if compiled_step:
            model = CompiledStepModel(model.input, model.output, xla=self.xla, name=model.name)
        metrics = [keras.metrics.CategoricalAccuracy("top1"), keras.metrics.TopKCategoricalAccuracy(5, "top5")]
        model.compile(
            optimizer=SGDL2(
                config.weight_decay,
                config.card.decayed,
                sums_gradients=not compiled_step,
                learning_rate=self.schedule,
                momentum=config.momentum,
                global_clipnorm=config.clip_norm or None,
            ),
            loss=keras.losses.CategoricalCrossentropy(
                from_logits=True,
                label_smoothing=config.label_smoothing,
                reduction="mean_with_sample_weight",  # Weights are 1, and 0 for what fills an evaluation's last batch up.
            ),
            weighted_metrics=metrics,
            jit_compile=False if compiled_step else "auto",
        )
        return model

    def _initialize(self):
        if self.config.card.initialize:
            images = self.config.batch_size * self.config.init_batches
            self.config.card.initialize(self.model, self._first_images(images)[0])

    def _report_signal(self):
        images, labels = self._first_images(self.config.batch_size)
        signals = signal.measure(self.model, images, labels, self.model.loss)
        title = f"Signal by residual block at the start: {self.config.model}, {self.config.card.title}, join {self.config.join}"
        print(f"{title}\n{signal.table(signals)}", flush=True)
        signal.write(signals, title, self.folder.signal_json, self.folder.signal_png)

    def _first_images(self, count):
        chosen = np.random.default_rng(self.config.seed).permutation(len(self.splits.train))[:count]
        return self.splits.train.images[chosen], np.eye(self.splits.classes, dtype="float32")[
            self.splits.train.labels[chosen]
        ]

    def _fit(self, epoch):
        """Trains from an epoch on; whether the loss stayed finite."""
        config, splits = self.config, self.splits
        callbacks = [
            keras.callbacks.TerminateOnNaN(),
            self.metrics_log,
            EpochCheckpoint(self.folder.checkpoints),
            keras.callbacks.TensorBoard(self.folder.tensorboard, write_graph=False),
            RemainingTime(),
        ]
        history = self.model.fit(
            pipeline.training_batches(
                splits.train, config.batch_size, splits.classes, config.seed, epoch * self.steps_per_epoch
            ),
            validation_data=self._evaluation_batches(splits.validation),
            epochs=self.epochs,
            initial_epoch=epoch,
            steps_per_epoch=DRY_RUN_STEPS if config.dry_run else self.steps_per_epoch,
            callbacks=callbacks,
            shuffle=False,
        )
        return math.isfinite(history.history["loss"][-1])

    def _evaluate(self):
        """Figures of each split in inference mode, on images as they are."""
        figures = {}
        for name in ("train", "validation", "test"):
            batches = self._evaluation_batches(getattr(self.splits, name))
            print(f"Measuring on the {name} images, in inference mode:", flush=True)
            figures[name] = self.model.evaluate(batches, return_dict=True)
        return figures

    def _evaluation_batches(self, examples):
        return pipeline.evaluation_batches(examples, self.config.batch_size, self.splits.classes, self.replicas)

    def _finish(self, status, final):
        with files.atomic_path(self.folder.model_keras) as temporary:
            # Without the optimizer, whose class a user of the model would need.
            keras.Model(self.model.inputs, self.model.outputs, name=self.model.name).save(temporary)
        result = results.summarize(
            self.config,
            self.folder,
            status,
            step=int(self.model.optimizer.iterations.numpy()),
            final=final,
            images_per_second=self.metrics_log.typical_images_per_second(),
            context=provenance.of_result(self.config, self.splits, self.replicas, time.perf_counter() - self.started),
        )
        results.show(result, self.folder)
        return result
