"""Trains a network as a configuration says: the whole run, from the first line on the screen to the last file."""

import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wn import models
from keras_wn.data import detect, synthetic
from keras_wn.data.splits import Splits
from keras_wn.training import devices as device_choice
from keras_wn.training import files, provenance, results, schedules, signal
from keras_wn.training.checkpoints import Checkpoints
from keras_wn.training.config import BASE_BATCH_SIZE, TrainConfig
from keras_wn.training.devices import Devices
from keras_wn.training.errors import UsageError
from keras_wn.training.model_dir import ModelDir
from keras_wn.training.monitor import Profiler, Scalars, Screen, kernel_norms
from keras_wn.training.optimizer import SGDL2
from keras_wn.training.stop import StopRequest

# Steps between two points in TensorBoard, and images on which blocks and gradients are measured.
_LOG_STEPS = 100
_WATCHED_IMAGES = 16
FIGURES = ("loss", "top1", "top5")


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
        UsageError: For a mistake that the user can mend, before anything is written.
    """
    if signal_only and (resume or overwrite):
        raise UsageError(
            "--signal_report trains nothing. Allowed: without --resume and --overwrite."
        )
    config = config.resolved()
    if resume and config.model_dir is None:
        raise UsageError("--resume needs the folder of the run. Allowed: with --model_dir.")
    devices = device_choice.of_run(config)
    if devices.workers > 1 and config.model_dir is None:
        raise UsageError(
            "--model_dir: needed with several workers. Allowed: a folder that all of them see."
        )
    if config.deterministic:
        device_choice.make_deterministic()
    splits = load_data(config)
    config.check_against(splits, devices.replicas)
    folder = ModelDir(config.model_dir, config)
    if devices.is_chief:
        folder.check(resume, overwrite)
    resume = resume and folder.config_json.exists()
    if (
        resume
        and folder.result_json.exists()
        and (result := results.read(folder))["status"] != "interrupted"
    ):
        print(f"This run has ended ({result['status']}): there is nothing to resume.")
        results.show(result, folder)
        return result

    run = Run(config, splits, folder, devices)
    try:
        with run.stop.listening(), splits.corrupt.explained():
            step, sums = run.restore() if resume else run.start(overwrite)
            if step == 0:
                run.initialize()
            if signal_only:
                return None
            batches = run.training_batches(step)
            finite = train_steps(run.step, batches, run.plan, run, run.stop, step, sums)
            final = run.evaluate_all()
        finite = finite and all(math.isfinite(figures["loss"]) for figures in final.values())
        return run.finish("finished" if finite else "diverged", final)
    except KeyboardInterrupt as stopped:
        return run.finish("interrupted", {}, stopped_by=getattr(stopped, "name", "SIGINT"))
    except OSError as error:
        raise UsageError(
            f"--model_dir={folder.path}: writing failed ({error}). What was written before is whole."
        ) from error
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        raise UsageError(
            f"--batch_size={config.batch_size} with --image_size={config.image_size}: a step does not fit in memory. "
            "Allowed: smaller ones, or more devices."
        ) from error


@dataclasses.dataclass(frozen=True)
class Plan:
    """The numbers that the steps of a run depend on.

    Attributes:
        rates: Float32 array, the learning rate of each step.
        decay: Weight decay.
        steps_per_epoch: Steps of an epoch.
        steps_per_loop: Steps that run without a return to Python; they divide an epoch.
        log_steps: Steps between two logs within an epoch.
        checkpoint_steps: Steps between two checkpoints within an epoch.
    """

    rates: np.ndarray
    decay: float
    steps_per_epoch: int
    steps_per_loop: int = 1
    log_steps: int = _LOG_STEPS
    checkpoint_steps: int = 500


def train_steps(
    step: Any,
    batches: Iterator,
    plan: Plan,
    run: Any,
    stop: StopRequest,
    first: int = 0,
    sums: Sequence[float] = (),
) -> bool:
    """Takes the steps of a run, and at fixed steps logs, evaluates, saves and stops.

    Args:
        step: `TensorFlowStep` or `JaxStep`.
        batches: Iterator over images and labels, `plan.steps_per_loop` batches at a time.
        plan: `Plan`.
        run: Object with the methods `advance(step)`, `log(step, figures)`,
            `end_epoch(epoch, figures)`, which tells whether the run goes on, and
            `checkpoint(step, sums)`; `Run` is one.
        stop: `StopRequest`.
        first: Steps that are done.
        sums: Sums of the figures since the epoch began, as a checkpoint has them.

    Returns:
        Whether the loss and the weights stayed finite.

    Raises:
        Stopped: If the run was told to stop. Its state is that of the last checkpoint.
    """
    sums = np.array(sums if len(sums) else [0.0] * 4)
    unread = []
    step.load()
    for number in range(first, len(plan.rates), plan.steps_per_loop):
        done = number + plan.steps_per_loop

        def is_due(every, number=number, done=done):
            return done // every > number // every

        ends_epoch = is_due(plan.steps_per_epoch)
        logs = ends_epoch or is_due(plan.log_steps)

        images, labels = next(batches)
        unread.append(step.train(images, labels, plan.rates[number:done], plan.decay))
        # Read once: a signal that comes later ends the run after the next step, with its checkpoint.
        stops = stop.signal is not None
        saves = ends_epoch or is_due(plan.checkpoint_steps) or stops
        # The devices take this step while Python reads the figures of the one before.
        while len(unread) > (0 if logs or saves else 1):
            sums += np.asarray(unread.pop(0), "float64")
        run.advance(done)
        if not np.all(np.isfinite(sums)):
            run.end_epoch(number // plan.steps_per_epoch + 1, as_figures(sums))
            return False
        if logs:
            run.log(done, as_figures(sums))
        if ends_epoch:
            if not run.end_epoch(done // plan.steps_per_epoch, as_figures(sums)):
                return False
            sums = np.zeros(4)
        if saves:
            run.checkpoint(done, sums)
        if stops:
            stop.check()
    return True


class Run:
    """The state of a run and its files: what `train_steps` logs, evaluates and saves.

    Args:
        config: Resolved `TrainConfig`.
        splits: `Splits`.
        folder: `ModelDir`.
        devices: `Devices`.
    """

    def __init__(self, config: TrainConfig, splits: Splits, folder: ModelDir, devices: Devices):
        self.config, self.splits, self.folder, self.devices = config, splits, folder, devices
        self.stop = StopRequest()
        self.steps_done = 0
        self._started = time.perf_counter()
        # The time at which each step of the epoch ended, and the speed of each epoch.
        self.step_ends: list[float] = []
        self._speeds: list[float] = []
        self.plan = make_plan(config, splits)
        keras.config.set_dtype_policy(config.precision)
        keras.utils.set_random_seed(config.seed)
        self._say_what_runs()
        self.step = make_step(config, splits.image_shape, splits.classes, devices)
        self.model = self.step.model
        self.checkpoints = Checkpoints(
            folder.checkpoints,
            {name: getattr(config, name) for name in ("norm", "model", "join")},
            devices.is_chief,
        )
        self._scalars = Scalars(folder.tensorboard)
        self._profiler = Profiler(folder.tensorboard, *(config.profile_range() or (0, 0)))
        self._screen = Screen(devices.is_chief, len(self.plan.rates))
        self._best = None

    # Before the first step.

    def start(self, overwrite: bool) -> tuple[int, Sequence[float]]:
        """Takes the folder for a new run. Returns the steps that are done, and no sums."""
        self._make_room()
        if self.devices.is_chief:
            record = provenance.of_run(self.config, self.splits, self.devices.replicas)
            self.folder.start(record, overwrite)
        return 0, ()

    def restore(self) -> tuple[int, Sequence[float]]:
        """Goes back to the newest checkpoint. Returns the steps that are done, and the sums."""
        self._make_room()
        with self.devices.scope():
            step, sums = self.checkpoints.restore_newest(self._variables())
        if self.devices.is_chief:
            files.keep_json_lines(self.folder.metrics_jsonl, lambda record: record["step"] <= step)
            self._best = results.best_top1(self.folder)
        self.steps_done = step
        print(f"Continuing after step {step}.", flush=True)
        return step, sums

    def initialize(self) -> None:
        """Applies the method's data-dependent start, and reports the signal by block."""
        config, card = self.config, self.config.card
        if card.initialize:
            # Every process takes the whole batch, so that all of them start from the same weights.
            images, _ = self.splits.train.sample(
                config.batch_size * config.init_batches, config.seed
            )
            card.initialize(self.model, images)
        if self.devices.is_chief:
            blocks, _ = signal.measure(self.model, *self._sample(config.batch_size), self.step.loss)
            title = f"Signal by residual block at the start: {config.model}, {card.title}, join {config.join}"
            print(f"{title}\n{signal.table(blocks)}", flush=True)
            signal.write(blocks, title, self.folder.signal_json, self.folder.signal_png)

    def training_batches(self, first: int) -> Iterator:
        """Endless iterator over the batches of several steps at a time, from a step on."""
        config = self.config
        self._screen.start(first)
        self._profiler.advance(first)
        batches = self.splits.train.training_batches(
            config.batch_size, self.splits.classes, config.seed, first, self.devices.shard
        )
        return stacked(batches, config.steps_per_loop)

    # What `train_steps` asks for.

    def advance(self, step: int) -> None:
        """Shows that `step` steps are done."""
        self.steps_done = step
        self.step_ends.append(time.perf_counter())
        self._screen.advance(step)
        self._profiler.advance(step)

    def log(self, step: int, figures: dict[str, float]) -> None:
        """Writes scalars for TensorBoard."""
        if self.devices.is_chief:
            self.step.store()
            rate = float(self.plan.rates[step - 1])
            values = {f"running/{name}": value for name, value in figures.items()}
            values |= {"learning_rate": rate, **kernel_norms(self.model, rate)}
            if speed := self._images_per_second():
                values["images_per_second"] = speed
            self._scalars.write(step, values)

    def end_epoch(self, epoch: int, figures: dict[str, float]) -> bool:
        """Evaluates, keeps the best model and logs. Returns whether all weights are finite."""
        speed, self.step_ends = self._images_per_second(), []
        if speed:
            self._speeds.append(speed)
        step = min(epoch * self.plan.steps_per_epoch, len(self.plan.rates))
        self.step.store()
        finite = math.isfinite(figures["loss"]) and weights_are_finite(self.model)
        self._record(epoch, step, "train", "training", figures, speed)
        text = f"loss {figures['loss']:.4f}, top-1 {figures['top1']:.4f}"
        if not finite:
            self._screen.epoch(epoch, self.config.epochs, step, f"{text}; DIVERGED")
            return False
        with self._averages():
            validation = self._evaluate(self.splits.validation)
            top1 = validation["top1"]
            if self.devices.is_chief and (self._best is None or top1 > self._best):
                self._best = top1
                save_model(self.model, self.folder.best_keras)
        self._record(epoch, step, "validation", "inference", validation, None)
        if self.devices.is_chief:
            self._watch(step, figures, validation)
        text += f"; validation loss {validation['loss']:.4f}, top-1 {top1:.4f}"
        text += f"; {speed:.0f} images/s" if speed else ""
        self._screen.epoch(epoch, self.config.epochs, step, text)
        self.step_ends = []
        return True

    def checkpoint(self, step: int, sums: Sequence[float]) -> None:
        """Writes a checkpoint, unless the weights are not finite: the last good one stays."""
        ends_epoch = step % self.plan.steps_per_epoch == 0
        is_due = ends_epoch or not self.stop.signal or self.devices.workers == 1
        self.step.store()
        # Several processes may be told to stop at different steps.
        if is_due and weights_are_finite(self.model):
            self.checkpoints.write(self._variables(), step, sums)

    # After the last step.

    def evaluate_all(self) -> dict[str, dict[str, float]]:
        """Figures of each split in inference mode, on images as they are."""
        final = {}
        self._screen.stop()
        self._profiler.stop()
        self.step.store()
        with self._averages():
            for name in ("train", "validation", "test"):
                print(f"Measuring on the {name} images, in inference mode.", flush=True)
                final[name] = self._evaluate(getattr(self.splits, name))
        return final

    def finish(self, status: str, final: dict, stopped_by: str | None = None) -> dict[str, Any]:
        """Saves the model, writes `result.json`, and prints the result as a table."""
        self._screen.stop()
        self._profiler.stop()
        self.step.store()
        result = {
            "status": status,
            "step": self.steps_done,
            "final": final,
            "stopped_by": stopped_by,
        }
        if corrupt := self.splits.corrupt.summary():
            print(f"Warning: {corrupt}", file=sys.stderr)
        if self.devices.is_chief:
            with self._averages():
                save_model(self.model, self.folder.model_keras)
            seconds = time.perf_counter() - self._started
            context = provenance.of_result(self.config, self.splits, self.devices.replicas, seconds)
            speed = float(np.median(self._speeds)) if self._speeds else None
            result = results.summarize(
                self.config, self.folder, **result, images_per_second=speed, context=context
            )
            results.show(result, self.folder)
        return result

    def _say_what_runs(self):
        config, card, splits = self.config, self.config.card, self.splits
        counts = f"{len(splits.train)} training, {len(splits.validation)} validation, {len(splits.test)} test images"
        print(f"Data: {provenance.DATA[splits.name]}: {counts}.")
        print(
            f"Run: {config.model}, {card.title} (--norm={config.norm}), join {config.join}, seed {config.seed}."
        )
        print(
            f"{config.train_epochs} epochs ({config.warmup_epochs:g} of them warm-up) of {self.plan.steps_per_epoch} steps "
            f"of {config.batch_size} images; learning rate up to {_peak(config):g}.",
            flush=True,
        )
        xla, replicas = device_choice.compiles(config.xla), self.devices.replicas
        if replicas > 1 or xla:
            rows = config.batch_size // replicas
            print(f"Devices: {replicas}, each {rows} images a step; XLA {'on' if xla else 'off'}.")
        if self.devices.workers > 1:
            print(
                f"Worker {self.devices.worker} of {self.devices.workers}; worker 0 writes the files."
            )
        if config.join in card.unstable_joins:
            reason = card.unstable_joins[config.join]
            print(
                f"Warning: --join={config.join} with --norm={config.norm}: {reason}.",
                file=sys.stderr,
            )

    def _make_room(self):
        if self.devices.is_chief:
            self.folder.check_space(self.model.count_params())
            files.remove_leftovers(self.folder.path)

    def _sample(self, count):
        """Training images and their one-hot labels, the same in every run of a seed."""
        images, labels = self.splits.train.sample(count, self.config.seed)
        return images, np.eye(self.splits.classes, dtype="float32")[labels]

    def _variables(self):
        return [*self.model.variables, *self.step.optimizer.variables]

    def _evaluate(self, split):
        batches = split.evaluation_batches(
            self.config.batch_size, self.splits.classes, self.devices.replicas, self.devices.shard
        )
        return evaluate(self.step, batches, self.stop)

    def _averages(self):
        return averaged_weights(self.model, self.step.optimizer)

    def _images_per_second(self):
        """Speed of the epoch so far, without its first step, which may compile."""
        times = self.step_ends
        images = (len(times) - 1) * self.plan.steps_per_loop * self.config.batch_size
        return images / (times[-1] - times[0]) if len(times) > 1 else None

    def _record(self, epoch, step, split, mode, figures, speed):
        if self.devices.is_chief:
            record = {"epoch": epoch, "step": step, "split": split, "mode": mode, **figures}
            rate = float(self.plan.rates[step - 1])
            record |= {"learning_rate": rate, "images_per_second": speed}
            files.append_json_line(self.folder.metrics_jsonl, record)

    def _watch(self, step, training, validation):
        images, labels = self._sample(min(_WATCHED_IMAGES, self.config.batch_size))
        blocks, gradient_norm = signal.measure(self.model, images, labels, self.step.loss)
        values = {"gradient_norm": gradient_norm}
        values |= {f"variance/{block.block}": block.variance for block in blocks}
        values |= {f"block_gradient_norm/{block.block}": block.gradient_norm for block in blocks}
        values |= {f"epoch_training/{name}": value for name, value in training.items()}
        values |= {f"epoch_validation/{name}": value for name, value in validation.items()}
        self._scalars.write(step, values)


# The parts that a run and a trial of the study share.


def load_data(config: TrainConfig) -> Splits:
    """The splits that a resolved configuration asks for."""
    if config.use_synthetic_data:
        # These are enough for a few batches, and have as many classes as ImageNet.
        return synthetic.load(config.image_size, count=4 * config.batch_size)
    return detect.load(
        config.dataset, config.data_dir, config.image_size, config.augment, config.max_corrupt
    )


def make_plan(config: TrainConfig, splits: Splits) -> Plan:
    """The plan of a run: the learning rate of each step, and how the steps are divided."""
    schedule = schedules.build(
        config.schedule,
        peak=_peak(config),
        total_steps=config.updates(splits, config.train_epochs),
        warmup_steps=config.updates(splits, config.warmup_epochs),
    )
    steps_per_epoch = config.steps_per_epoch(splits)
    # A schedule counts updates of the weights, and an update takes `accumulation` steps.
    updates = np.arange(config.epochs * steps_per_epoch) // config.accumulation
    return Plan(
        np.asarray(ops.convert_to_numpy(schedule(updates)), "float32"),
        config.weight_decay,
        steps_per_epoch,
        config.steps_per_loop,
        checkpoint_steps=config.checkpoint_steps,
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
        model = models.get(config.model)(
            config.norm, image_shape, classes, config.join, config.dropout
        )
        optimizer = SGDL2(
            config.weight_decay,
            config.card.decayed,
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
        # Weights are 1, and 0 for rows that fill the last batch of an evaluation up.
        reduction="mean_with_sample_weight",
    )
    if keras.backend.backend() == "jax":
        from keras_wn.training.step_jax import JaxStep

        return JaxStep(model, optimizer, loss, top_sums, config, devices)
    from keras_wn.training.step_tensorflow import TensorFlowStep

    xla = device_choice.compiles(config.xla)
    return TensorFlowStep(model, optimizer, loss, top_sums, config, devices, xla)


def top_sums(labels: Any, logits: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Weighted sums of top-1, of top-5, and of the weights themselves, as scalars."""
    truth = ops.argmax(labels, axis=-1)
    top1 = ops.cast(ops.equal(truth, ops.argmax(logits, axis=-1)), "float32")
    top5 = ops.cast(ops.in_top_k(truth, logits, k=5), "float32")
    return ops.sum(top1 * weights), ops.sum(top5 * weights), ops.sum(weights)


def as_figures(sums: np.ndarray) -> dict[str, float]:
    """Means of loss, top-1 and top-5 from their sums and the number of images."""
    return {name: float(total / sums[-1]) for name, total in zip(FIGURES, sums[:-1], strict=True)}


def evaluate(step: Any, batches: Any, stop: StopRequest | None = None) -> dict[str, float]:
    """Loss, top-1 and top-5 in inference mode, over all batches of an evaluation."""
    sums = np.zeros(4)
    for batch in batches:
        sums += np.asarray(step.evaluate(*batch), "float64")
        if stop is not None:
            stop.check()
    return as_figures(sums)


def stacked(batches: Any, count: int) -> Iterator:
    """Iterator over `count` batches of a `tf.data.Dataset` at a time."""
    batches = batches.batch(count, drop_remainder=True)
    return batches.as_numpy_iterator() if keras.backend.backend() == "jax" else iter(batches)


@contextlib.contextmanager
def averaged_weights(model: keras.Model, optimizer: keras.optimizers.Optimizer):
    """Scope in which a model has the moving averages of its weights, if the optimizer keeps any."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    # Before the first update, the averages are zeros.
    if not optimizer.use_ema or not int(ops.convert_to_numpy(optimizer.iterations)):
        yield
        return
    _swap(model.trainable_variables, optimizer._model_variables_moving_average)
    try:
        yield
    finally:
        _swap(model.trainable_variables, optimizer._model_variables_moving_average)


def _swap(variables, others):
    for variable, other in zip(variables, others, strict=True):
        # Copied, because an array may share the memory of the variable that is assigned to.
        values = [np.array(ops.convert_to_numpy(v)) for v in (variable, other)]
        variable.assign(values[1])
        other.assign(values[0])


def weights_are_finite(model: keras.Model) -> bool:
    """Whether every trained variable of a model is finite.

    The loss alone does not tell. The ReLU of some libraries turns NaN into 0, as oneDNN's does, and
    a network of NaN weights then goes on with a finite loss.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> weights_are_finite(model)
    True
    >>> _ = model.layers[0].bias.assign([float("nan")])
    >>> weights_are_finite(model)
    False
    """
    return all(np.all(np.isfinite(ops.convert_to_numpy(v))) for v in model.trainable_variables)


def save_model(model: keras.Model, path: Any) -> None:
    """Saves a model as a plain functional one, atomically, without the optimizer and its class."""
    with files.atomic_path(path) as temporary:
        keras.Model(model.inputs, model.outputs, name=model.name).save(temporary)


def _is_out_of_memory(error):
    """Whether an error says that memory is exhausted: Python's, TensorFlow's or JAX's."""
    names = ("ResourceExhaustedError", "RESOURCE_EXHAUSTED")
    return isinstance(error, MemoryError) or any(
        name in f"{type(error).__name__} {error}" for name in names
    )


def _peak(config):
    return config.base_learning_rate * config.images_per_update / BASE_BATCH_SIZE
