"""Trains a network as a configuration says, from the first line on the screen to the last file."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_wn import models
from keras_wn.data import datasets
from keras_wn.data.splits import Batches, Splits
from keras_wn.methods import CompositionError
from keras_wn.training import devices as device_choice
from keras_wn.training import model_dir, results, schedules
from keras_wn.training import optimizer as optimizers
from keras_wn.training.config import TrainConfig
from keras_wn.training.devices import Devices
from keras_wn.training.model_dir import ModelDir
from keras_wn.training.run import Run, announce, as_metrics
from keras_wn.training.schedules import Timetable

_LOG_STEPS = 100


def train(
    config: TrainConfig, resume: bool = False, overwrite: bool = False, signal_only: bool = False
) -> dict[str, Any] | None:
    """Trains a network as `config` says and writes the files of its `model_dir`.

    Args:
        config: `TrainConfig`.
        resume: Whether to continue the run in `model_dir` from its newest checkpoint. A folder
            that holds no run yet starts one.
        overwrite: Whether to replace the run in `model_dir`.
        signal_only: Whether to stop after the signal report.

    Returns:
        Dict, the content of `result.json`, with `status` one of `finished`, `diverged` and
        `interrupted`, and for the last `stopped_by`, the signal's name. None with `signal_only`.

    Raises:
        UsageError: For a mistake that the user can fix, before anything is written.
    """
    config = config.resolved()
    model_dir.check_flags(config, resume, overwrite, signal_only)
    devices = device_choice.find(
        config, resume=resume, overwrite=overwrite, signal_report=signal_only
    )
    if config.deterministic:
        device_choice.make_deterministic()
    folder = ModelDir(config.model_dir, config, devices.workers)
    splits = load_data(config)
    config.check_against(splits, devices.count)
    with folder.taken(resume, overwrite, splits) if devices.is_chief else contextlib.nullcontext():
        with devices.losses_explained():
            resume = resume and os.path.exists(folder.config_json)
            devices.check_same({"images": splits.digest, "run to resume": str(resume)})
            # The chief has the lock, from here on at the latest.
            devices.check_same({f"--model_dir={folder.path}": folder.token(devices.workers)})
            result = _train_in(folder, config, splits, devices, resume, overwrite, signal_only)
            # A process that left would end the others, which may still evaluate. One that was told
            # to stop is waited for by nobody.
            if not (result and result["status"] == "interrupted"):
                devices.wait()
        return result


def _train_in(
    folder: ModelDir,
    config: TrainConfig,
    splits: Splits,
    devices: Devices,
    resume: bool,
    overwrite: bool,
    signal_only: bool,
) -> dict[str, Any] | None:
    """Trains in a folder that is this process' own."""
    if resume and (result := results.read(folder)) and result["status"] != "interrupted":
        print(f"This run has ended ({result['status']}): there is nothing to resume.")
        results.show(result, folder)
        return result

    run = make_run(config, splits, folder, devices)
    with run.faults_explained():
        try:
            with run.stop.listening(), splits.corrupt.explained():
                first, sums = run.restore() if resume else run.start(overwrite)
                devices.check_same({"step of the newest checkpoint": str(first)})
                if first == 0:
                    run.initialize()
                if signal_only:
                    return None
                with run.shown(first):
                    # The batches are not kept in this function, so that an error ends the pipeline.
                    finite = train_steps(
                        run, training_batches(config, splits, first, devices.shard), first, sums
                    )
                final = run.evaluate_all()
            return run.finish(final, finite)
        except KeyboardInterrupt as stopped:
            return run.finish(stopped_by=getattr(stopped, "name", "SIGINT"))


def train_steps(run: Any, batches: Iterator, first: int = 0, sums: Sequence[float] = ()) -> bool:
    """Takes the steps of a run, and at fixed steps logs, evaluates, saves and stops.

    Args:
        run: `Run`, or another object with its `step`, its `timetable` and its `stop`, with
            `is_alone`, whether no other process trains with it, and with the methods
            `advance(step)`, `log(step, metrics)`, `end_epoch(epoch, metrics)`, which tells whether
            the run goes on, and `checkpoint(step, sums)`.
        batches: Iterator over images and labels, `timetable.steps_per_loop` batches at a time.
        first: Steps that are done.
        sums: Sums of the metrics since the epoch began, as a checkpoint has them.

    Returns:
        Whether the loss and the weights stayed finite.

    Raises:
        Stopped: If the run was told to stop. Its state is that of the last checkpoint.
    """
    sums = np.array(sums if len(sums) else [0.0] * 4)
    step, timetable, unread = run.step, run.timetable, []
    step.load()
    for number in range(first, len(timetable.rates), timetable.steps_per_loop):
        done = number + timetable.steps_per_loop

        def is_due(every, number=number, done=done):
            return every is not None and done // every > number // every

        ends_epoch = is_due(timetable.steps_per_epoch)
        logs = ends_epoch or is_due(timetable.log_steps)

        images, labels = next(batches)
        unread.append(step.train(images, labels, timetable.rates[number:done], timetable.decay))
        # Read once: a signal that comes later ends the run after the next step, with its
        # checkpoint.
        stops = run.stop.signal is not None
        # Processes may stop at different steps, and their states would not match.
        saves = ends_epoch or is_due(timetable.checkpoint_steps) or (stops and run.is_alone)
        # The devices take this step while Python reads the metrics of the one before.
        while len(unread) > (0 if logs or saves else 1):
            sums += np.asarray(unread.pop(0), "float64")
        run.advance(done)
        # A loss that is not finite ends its epoch early, and the end of an epoch finds it.
        diverges = not np.all(np.isfinite(sums))
        if logs and not diverges:
            run.log(done, as_metrics(sums))
        if ends_epoch or diverges:
            if not run.end_epoch(-(-done // timetable.steps_per_epoch), as_metrics(sums)):
                return False
            sums = np.zeros(4)
        if saves:
            run.checkpoint(done, sums)
        if stops:
            run.stop.check()
    return True


def load_data(config: TrainConfig) -> Splits:
    """The splits that a resolved configuration asks for."""
    if config.use_synthetic_data:
        # These are enough for a few batches, and have as many classes as ImageNet.
        return datasets.synthetic(config.image_size, count=4 * config.batch_size)
    return datasets.load(
        config.dataset,
        config.data_dir,
        config.image_size,
        config.augment,
        config.max_corrupt,
        config.allow_partial,
        config.max_pixels,
    )


def make_run(config: TrainConfig, splits: Splits, folder: ModelDir, devices: Devices) -> Run:
    """Announces the run and builds it."""
    timetable = make_timetable(config, splits)
    announce(config, splits, devices, timetable)
    keras.config.set_dtype_policy(config.precision)
    keras.utils.set_random_seed(config.seed)
    step = make_step(config, splits.image_shape, splits.classes, devices)
    return Run(config, splits, folder, devices, timetable, step)


def make_timetable(config: TrainConfig, splits: Splits) -> Timetable:
    """The timetable of a run: the learning rate of each step, and how the steps are divided."""
    schedule = schedules.build(
        config.schedule,
        peak=config.peak_learning_rate,
        total_steps=config.updates(splits, config.train_epochs),
        warmup_steps=config.updates(splits, config.warmup_epochs),
        warmup_power=config.method.warmup_power,
    )
    steps_per_epoch = config.steps_per_epoch(splits)
    return Timetable(
        # A schedule counts updates of the weights, and an update takes `accumulation` steps.
        schedules.Rates(schedule, config.epochs * steps_per_epoch, config.accumulation),
        config.weight_decay,
        steps_per_epoch,
        config.steps_per_loop,
        _LOG_STEPS,
        config.checkpoint_steps,
    )


def make_step(
    config: TrainConfig, image_shape: tuple[int, ...], classes: int, devices: Devices
) -> Any:
    """The network of a run, with the step that trains it on this backend.

    Args:
        config: Resolved `TrainConfig`.
        image_shape: Tuple `(height, width, channels)`.
        classes: Positive integer.
        devices: `Devices`.

    Returns:
        `TensorFlowStep` or `JaxStep`.
    """
    with devices.scope():
        try:
            model = models.get(config.model)(
                config.method, image_shape, classes, config.join, config.dropout
            )
        except CompositionError as error:
            raise config.refusal(error) from None
        optimizer = optimizers.for_method(
            config.method,
            model,
            config.weight_decay,
            config.decay_on,
            sums_gradients=False,
            learning_rate=0.0,
            momentum=config.momentum,
            global_clipnorm=config.clip_norm or None,
            use_ema=bool(config.ema),
            ema_momentum=config.ema or 0.99,
        )
        if config.precision == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(model.trainable_variables)
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True,
        label_smoothing=config.label_smoothing,
        # Weights are 1, and 0 for rows that fill a batch up or serve for its statistics.
        reduction="mean_with_sample_weight",
    )
    if keras.backend.backend() == "jax":
        from keras_wn.training.step_jax import JaxStep

        return JaxStep(model, optimizer, loss, config, devices)
    from keras_wn.training.step_tensorflow import TensorFlowStep

    xla = device_choice.compiles(config.xla)
    return TensorFlowStep(model, optimizer, loss, config, devices, xla)


def training_batches(
    config: TrainConfig, splits: Splits, first: int, shard: tuple[int, int] = (0, 1)
) -> Iterator:
    """Endless iterator over the batches of `steps_per_loop` steps at a time.

    Args:
        config: Resolved `TrainConfig`.
        splits: `Splits`.
        first: Steps that are done.
        shard: This process' part of every batch: its number, and how many processes share a batch.

    Returns:
        Iterator over images of shape `(steps, rows, height, width, channels)` and one-hot labels of
        shape `(steps, rows, classes)`.
    """
    larger = {"statistics_batch": config.statistics_batch} if config.rows_have_weights else {}
    batches = splits.train.training_batches(
        config.batch_size, splits.classes, config.seed, first, shard, config.mixup, **larger
    )
    if isinstance(batches, Batches):
        return batches.grouped(config.steps_per_loop)
    batches = batches.batch(config.steps_per_loop, drop_remainder=True)
    return batches.as_numpy_iterator() if keras.backend.backend() == "jax" else iter(batches)
