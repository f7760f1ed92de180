"""Keeps the state of a run and its files: what the loop logs, evaluates and saves."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wn.data import datasets
from keras_wn.data.splits import Splits
from keras_wn.errors import UsageError
from keras_wn.event_file import Scalars
from keras_wn.model_summary import kernel_norms
from keras_wn.optimizers import innermost
from keras_wn.training import devices as device_choice
from keras_wn.training import files, provenance, results, signal_report
from keras_wn.training.checkpoints import Checkpoints
from keras_wn.training.config import TrainConfig
from keras_wn.training.devices import Devices
from keras_wn.training.model_dir import ModelDir
from keras_wn.training.monitor import Profiler, Screen, duration
from keras_wn.training.schedules import Timetable
from keras_wn.training.stop import StopRequest

# Images on which blocks and gradients are measured after an epoch.
_WATCHED_IMAGES = 16
METRICS = ("loss", "top1", "top5")


def announce(config: TrainConfig, splits: Splits, devices: Devices, timetable: Timetable) -> None:
    """Says which data, network and devices a run takes, before the network is built."""
    method = config.method
    print(
        f"Data: {datasets.description(splits)}: {len(splits.train)} training, "
        f"{len(splits.validation)} validation, {len(splits.test)} test images.",
        *splits.notes,
        sep="\n",
    )
    print(
        f"Run: {config.model}, {method.title} (--norm={config.norm}), join {config.join}, "
        f"seed {config.seed}."
    )
    print(
        f"{config.train_epochs} epochs ({config.warmup_epochs:g} of them warm-up) of "
        f"{timetable.steps_per_epoch} steps of {config.batch_size} images; learning rate up to "
        f"{config.peak_learning_rate:g}.",
        flush=True,
    )
    xla = device_choice.compiles(config.xla)
    if devices.count > 1 or xla:
        rows = config.batch_size // devices.count
        print(f"Devices: {devices.count}, each {rows} images a step; XLA {'on' if xla else 'off'}.")
    if devices.workers > 1:
        print(f"Worker {devices.worker} of {devices.workers}; worker 0 writes the files.")
    if config.join in method.unstable_joins:
        reason = method.unstable_joins[config.join]
        print(
            f"Warning: --join={config.join} with --norm={config.norm}: {reason}.", file=sys.stderr
        )
    for scale, reason in method.unstable_branch_scales.items():
        if config.branch_scale >= scale:
            print(
                f"Warning: --branch_scale={config.branch_scale} with --norm={config.norm}: "
                f"{reason}.",
                file=sys.stderr,
            )


class Run:
    """The state of a run and its files: what `train_steps` logs, evaluates and saves.

    Args:
        config: Resolved `TrainConfig`.
        splits: `Splits`.
        folder: `ModelDir`.
        devices: `Devices`.
        timetable: `Timetable`.
        step: `TensorFlowStep` or `JaxStep`.
    """

    def __init__(
        self,
        config: TrainConfig,
        splits: Splits,
        folder: ModelDir,
        devices: Devices,
        timetable: Timetable,
        step: Any,
    ):
        self.config, self.splits, self.folder, self.devices = config, splits, folder, devices
        self.timetable, self.step, self.model = timetable, step, step.model
        self.stop = StopRequest()
        self.is_alone = devices.workers == 1
        self.steps_done = 0
        # The time at which each step of the epoch ended, and the speed of each epoch.
        self.step_ends: list[float] = []
        self._speeds: list[float] = []
        self._started = time.perf_counter()
        # Where the training began, in steps and in time, from which the time left is told.
        self._first, self._training_started = 0, self._started
        self._best: float | None = None
        self._checkpoints = Checkpoints(
            folder.checkpoints,
            {name: getattr(config, name) for name in ("norm", "model", "join")},
            devices.is_chief,
        )
        self._scalars = Scalars(folder.tensorboard)
        self._profiler = Profiler(folder.tensorboard, *config.profile_range())
        self._screen = Screen(devices.is_chief)
        self._show: Callable[[int], None] = lambda step: None

    # Before the first step.

    def start(self, overwrite: bool) -> tuple[int, Sequence[float]]:
        """Takes the folder for a new run. Returns the steps that are done, and no sums."""
        self._make_room()
        if self.devices.is_chief:
            record = provenance.run_record(self.config, self.splits, self.devices.count)
            self.folder.start(record, overwrite)
        return 0, ()

    def restore(self) -> tuple[int, Sequence[float]]:
        """Goes back to the newest checkpoint. Returns the steps that are done, and the sums."""
        self._make_room()
        with self.devices.scope():
            step, sums = self._checkpoints.restore_newest(self._variables())
        if self.devices.is_chief:
            files.keep_json_lines(self.folder.metrics_jsonl, lambda record: record["step"] <= step)
            self._best = results.best_top1(self.folder)
        self.steps_done = step
        print(f"Continuing after step {step}.", flush=True)
        return step, sums

    def initialize(self) -> None:
        """Applies the method's data-dependent start, and reports the signal by block."""
        config, method = self.config, self.config.method
        if method.initialize:
            # Every process takes the whole batch, so that all of them start from the same weights.
            images, _ = self.splits.train.sample(
                config.batch_size * config.init_batches, config.seed
            )
            method.initialize(self.model, images)
        if self.devices.is_chief:
            blocks, _ = signal_report.measure(
                self.model, *self._sample(config.batch_size), self.step.loss
            )
            title = (
                f"Signal by residual block at the start: {config.model}, {method.title}, "
                f"join {config.join}"
            )
            print(f"{title}\n{signal_report.table(blocks)}", flush=True)
            signal_report.write(blocks, title, self.folder.signal_json, self.folder.signal_png)

    @contextlib.contextmanager
    def faults_explained(self) -> Iterator[None]:
        """Scope in which a full disk and a step that does not fit in memory are one line each."""
        try:
            yield
        except OSError as error:
            raise UsageError(
                f"--model_dir={self.folder.path}: writing failed ({error}). "
                "What was written before is whole."
            ) from error
        except Exception as error:
            if not _is_out_of_memory(error):
                raise
            raise UsageError(
                f"--batch_size={self.config.batch_size} with --image_size="
                f"{self.config.image_size}: a step does not fit in memory. Allowed: smaller ones, "
                "or more devices."
            ) from error

    @contextlib.contextmanager
    def shown(self, first: int) -> Iterator[None]:
        """Shows progress and takes the profile while the scope is open."""
        self._first, self._training_started = first, time.perf_counter()
        self._profiler.advance(first)
        try:
            with self._screen.track(
                "Training, step", len(self.timetable.rates), first
            ) as self._show:
                yield
        finally:
            self._profiler.stop()

    # The methods that `train_steps` calls.

    def advance(self, step: int) -> None:
        """Shows that `step` steps are done."""
        self.steps_done = step
        self.step_ends.append(time.perf_counter())
        self._show(step)
        self._profiler.advance(step)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Writes scalars for TensorBoard."""
        if self.devices.is_chief:
            self.step.store()
            rate = float(self.timetable.rates[step - 1])
            values = {f"running/{name}": value for name, value in metrics.items()}
            values |= {"learning_rate": rate, **kernel_norms(self.model, rate)}
            if speed := self._images_per_second():
                values["images_per_second"] = speed
            self._scalars.write(step, values)

    def end_epoch(self, epoch: int, metrics: dict[str, float]) -> bool:
        """Evaluates, keeps the best model and logs. Returns whether all weights are finite."""
        speed, self.step_ends = self._images_per_second(), []
        if speed:
            self._speeds.append(speed)
        step = min(epoch * self.timetable.steps_per_epoch, len(self.timetable.rates))
        self.step.store()
        finite = is_finite(self.model, metrics)
        self._record(epoch, step, "train", "training", metrics, speed)
        text = f"loss {metrics['loss']:.4f}, top-1 {metrics['top1']:.4f}"
        if not finite:
            self._say_epoch(epoch, step, f"{text}; DIVERGED")
            return False
        with self._averages():
            validation = self._evaluate("validation")
            if self.devices.is_chief and (self._best is None or validation["top1"] > self._best):
                self._best = validation["top1"]
                save_model(self.model, self.folder.best_keras)
        self._record(epoch, step, "validation", "inference", validation, None)
        if self.devices.is_chief:
            self._watch(step, metrics, validation)
        text += f"; validation loss {validation['loss']:.4f}, top-1 {validation['top1']:.4f}"
        self._say_epoch(epoch, step, text + (f"; {speed:.0f} images/s" if speed else ""))
        return True

    def checkpoint(self, step: int, sums: Sequence[float]) -> None:
        """Writes a checkpoint, unless the weights are not finite: the last good one stays."""
        self.step.store()
        if is_finite(self.model):
            self._checkpoints.write(self._variables(), step, sums)

    # After the last step.

    def evaluate_all(self) -> dict[str, dict[str, float]]:
        """Metrics of each split in inference mode, on images as they are."""
        final = {}
        self.step.store()
        with self._averages():
            for name in ("train", "validation", "test"):
                print(f"Measuring on the {name} images, in inference mode.", flush=True)
                final[name] = self._evaluate(name)
        return final

    def finish(
        self, final: dict | None = None, finite: bool = True, stopped_by: str | None = None
    ) -> dict[str, Any]:
        """Saves the model, writes `result.json`, and prints the result as a table.

        Args:
            final: Metrics by split; None if they were not measured.
            finite: Whether the training stayed finite.
            stopped_by: Name of the signal that stopped the run, or None.
        """
        self.step.store()
        finite = finite and losses_are_finite((final or {}).values())
        result = {
            "status": "interrupted" if stopped_by else "finished" if finite else "diverged",
            "step": self.steps_done,
            "final": final or {},
            "stopped_by": stopped_by,
        }
        if corrupt := self.splits.corrupt.summary():
            print(f"Warning: {corrupt}", file=sys.stderr)
        if self.devices.is_chief:
            with self._averages():
                save_model(self.model, self.folder.model_keras)
            seconds = time.perf_counter() - self._started
            context = provenance.result_record(
                self.config, self.splits, self.devices.count, seconds
            )
            speed = float(np.median(self._speeds)) if self._speeds else None
            result = results.summarize(
                self.config, self.folder, **result, images_per_second=speed, context=context
            )
            results.show(result, self.folder)
        return result

    def _make_room(self):
        if self.devices.is_chief:
            self.folder.check_space(self.model.count_params())

    def _sample(self, count):
        """Training images and their one-hot labels, the same in every run of a seed."""
        images, labels = self.splits.train.sample(count, self.config.seed)
        return images, np.eye(self.splits.classes, dtype="float32")[labels]

    def _variables(self):
        return [*self.model.variables, *self.step.optimizer.variables]

    def _evaluate(self, name):
        config, split = self.config, getattr(self.splits, name)
        batches = split.evaluation_batches(
            config.batch_size, self.splits.classes, self.devices.count, self.devices.shard
        )
        count = -(-len(split) // config.batch_size)
        with self._screen.track(f"Measuring on the {name} images, batch", count) as show:
            return evaluate(self.step, _counted(batches, show), self.stop)

    def _averages(self):
        return averaged_weights(self.model, self.step.optimizer)

    def _images_per_second(self):
        """Speed of the epoch so far, without its first step, which may compile."""
        times = self.step_ends
        images = (len(times) - 1) * self.timetable.steps_per_loop * self.config.batch_size
        return images / (times[-1] - times[0]) if len(times) > 1 else None

    def _say_epoch(self, epoch, step, text):
        """Says what an epoch brought, and about how long the rest takes."""
        if self.devices.is_chief:
            left = len(self.timetable.rates) - step
            seconds = (time.perf_counter() - self._training_started) / (step - self._first) * left
            rest = f"; about {duration(seconds)} left" if left else ""
            print(f"Epoch {epoch}/{self.config.epochs}: {text}{rest}.", flush=True)

    def _record(self, epoch, step, split, mode, metrics, speed):
        if self.devices.is_chief:
            record = {"epoch": epoch, "step": step, "split": split, "mode": mode, **metrics}
            rate = float(self.timetable.rates[step - 1])
            record |= {"learning_rate": rate, "images_per_second": speed}
            files.append_json_line(self.folder.metrics_jsonl, record)

    def _watch(self, step, training, validation):
        images, labels = self._sample(min(_WATCHED_IMAGES, self.config.batch_size))
        blocks, gradient_norm = signal_report.measure(self.model, images, labels, self.step.loss)
        values = {"gradient_norm": gradient_norm}
        values |= {f"variance/{block.block}": block.variance for block in blocks}
        values |= {f"block_gradient_norm/{block.block}": block.gradient_norm for block in blocks}
        values |= {f"epoch_training/{name}": value for name, value in training.items()}
        values |= {f"epoch_validation/{name}": value for name, value in validation.items()}
        self._scalars.write(step, values)


def as_metrics(sums: np.ndarray) -> dict[str, float]:
    """Means of loss, top-1 and top-5 from their sums and the number of images."""
    return {name: float(total / sums[-1]) for name, total in zip(METRICS, sums[:-1], strict=True)}


def evaluate(
    step: Any, batches: Iterable[tuple], stop: StopRequest | None = None
) -> dict[str, float]:
    """Loss, top-1 and top-5 in inference mode, over all batches of an evaluation."""
    sums = np.zeros(4)
    for batch in batches:
        sums += np.asarray(step.evaluate(*batch), "float64")
        if stop is not None:
            stop.check()
    return as_metrics(sums)


def _counted(batches, show):
    for done, batch in enumerate(batches, start=1):
        yield batch
        show(done)


@contextlib.contextmanager
def averaged_weights(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Scope in which a model has the moving averages of its weights, if the optimizer keeps any."""
    optimizer = innermost(optimizer)
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


def is_finite(model: keras.Model, *metrics: Mapping[str, float]) -> bool:
    """Whether some losses and every trained variable of a model are finite.

    The loss alone does not tell. The ReLU of some libraries turns NaN into 0, as oneDNN's does, and
    a network of NaN weights then goes on with a finite loss.

    Args:
        model: Keras model.
        *metrics: Dicts with a `loss`.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> is_finite(model, {"loss": 0.0}), is_finite(model, {"loss": float("inf")})
    (True, False)
    >>> _ = model.layers[0].bias.assign([float("nan")])
    >>> is_finite(model)
    False
    """
    return losses_are_finite(metrics) and all(
        np.all(np.isfinite(ops.convert_to_numpy(v))) for v in model.trainable_variables
    )


def losses_are_finite(metrics: Iterable[Mapping[str, float]]) -> bool:
    """Whether the losses among some metrics are finite."""
    return all(math.isfinite(found["loss"]) for found in metrics)


def _is_out_of_memory(error):
    """Whether an error says that memory is exhausted: Python's, TensorFlow's or JAX's."""
    names = ("ResourceExhaustedError", "RESOURCE_EXHAUSTED")
    return isinstance(error, MemoryError) or any(
        name in f"{type(error).__name__} {error}" for name in names
    )


def save_model(model: keras.Model, path: Any) -> None:
    """Saves a model as a plain functional one, atomically, without the optimizer and its class."""
    with files.atomic_path(path) as temporary:
        keras.Model(model.inputs, model.outputs, name=model.name).save(temporary)
