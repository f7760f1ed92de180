"""Runs the trials of a study, from the specification to the record, on the loop that trains runs.

Trials of one network share its compiled step: the learning rates and the weight decay are inputs of
the step, and the weights are put back to their start in one call.
"""

import base64
import dataclasses
import math
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wn.data import datasets
from keras_wn.data.splits import Examples, Splits
from keras_wn.model_summary import kernel_norms
from keras_wn.study import data
from keras_wn.study.data import Draw
from keras_wn.study.kept_state import KeptState
from keras_wn.study.protocol import Protocol
from keras_wn.study.specs import SPLITS, TrialSpec, empty_record
from keras_wn.training import devices as device_choice
from keras_wn.training import loop, signal_report
from keras_wn.training.config import BASE_BATCH_SIZE, TrainConfig
from keras_wn.training.run import evaluate, is_finite, losses_are_finite
from keras_wn.training.schedules import Timetable
from keras_wn.training.scores import rank_of_truth
from keras_wn.training.stop import StopRequest

# Networks, starts of each network, and draws of the data that are kept in memory.
_KEPT = 8
# A return to Python takes as long as a small network's step.
_LONGEST_LOOP = 100
_SIGNAL_IMAGES = 64


class Trials:
    """Runs the trials of a protocol in this process.

    Args:
        protocol: `Protocol`.
        folder: `pathlib.Path`, where the states of long trials are kept while they run.

    Raises:
        UsageError: If the data are missing, or do not fit the protocol.
    """

    def __init__(self, protocol: Protocol, folder: pathlib.Path):
        self._protocol, self._folder = protocol, folder
        self._data = data.Data(protocol)
        self._networks: dict[tuple, Network] = {}
        self._draws: dict[tuple, Draw] = {}
        self._devices = None

    @property
    def data(self) -> dict[str, Any]:
        """Counts for the protocol's line of the log: images that a trial uses, and classes."""
        splits = self._data.splits
        counts = {name: len(getattr(splits, name)) for name in SPLITS}
        counts["train"] = self._protocol.train_size or counts["train"]
        description = datasets.description(splits)
        return {"classes": splits.classes, "images": counts, "data": description}

    @property
    def in_memory(self) -> bool:
        """Whether the images are in memory."""
        return isinstance(self._data.splits.train, Examples)

    def run(self, spec: TrialSpec) -> dict[str, Any]:
        """Trains and measures. Returns the line of the log."""
        begun = time.perf_counter()
        draw, config = self.prepared(spec)
        network = self.network(spec, config)
        if not network.is_compiled:
            network.put_at_start(config, draw.splits)
            network.compile(config, draw)
        network.put_at_start(config, draw.splits)
        effective = {"start": effective_rate(network.step.model, spec.learning_rate)}
        ready = time.perf_counter()

        # A trial logs and keeps its state at the ends of epochs alone.
        timetable = loop.make_timetable(config, draw.splits)
        timetable = dataclasses.replace(timetable, log_steps=None, checkpoint_steps=None)
        trial = Trial(spec, network.step, draw, timetable)
        first, kept = 0, None
        if not self.in_memory:
            # A trial on images in memory takes minutes. It keeps no state, and starts over.
            kept = KeptState(self._folder / spec.id, spec, network.step, trial)
            first = kept.restore()
        trial.begin(kept, first)
        batches = loop.training_batches(config, draw.splits, first)
        finite = loop.train_steps(trial, batches, first)
        trained = time.perf_counter()
        results = trial.results(finite)
        if kept:
            kept.clear()
        end = time.perf_counter()
        seconds = {
            "building": ready - begun,
            "training": trained - ready - trial.seconds,
            "evaluation": end - trained + trial.seconds,
        }
        return trial_record(spec, effective, results, seconds)

    def prepared(self, spec: TrialSpec) -> tuple[Draw, TrainConfig]:
        """The data of a trial, and its configuration."""
        source = spec.seed, spec.train_size
        draw = _kept(self._draws, source, lambda: self._data.draw(*source))
        return draw, trial_config(self._protocol, spec, draw.splits)

    def network(self, spec: TrialSpec, config: TrainConfig) -> "Network":
        """The network of a trial, which it may share with trials before."""
        if self._devices is None:
            self._devices = device_choice.find(config)
            keras.config.set_dtype_policy(config.precision)
        splits, devices = self._data.splits, self._devices
        return _kept(self._networks, spec.network, lambda: Network(config, splits, devices))


def trial_config(protocol: Protocol, spec: TrialSpec, splits: Splits) -> TrainConfig:
    """The configuration with which a runner would train the same as a trial."""
    steps = len(splits.train) // spec.batch_size
    config = TrainConfig(
        norm=spec.method,
        model=spec.model,
        dataset=protocol.dataset,
        data_dir=protocol.data_dir,
        image_size=protocol.image_size,
        augment=protocol.augment,
        batch_size=spec.batch_size,
        train_epochs=spec.train_epochs,
        base_learning_rate=spec.learning_rate * BASE_BATCH_SIZE / spec.batch_size,
        warmup_epochs=spec.warmup_epochs,
        weight_decay=spec.weight_decay,
        momentum=protocol.momentum,
        schedule=protocol.schedule,
        precision=protocol.precision,
        seed=spec.seed,
        # A small draw has fewer batches than a data-dependent start sees by default.
        init_batches=max(1, min(4, steps)),
        steps_per_loop=max((n for n in range(1, _LONGEST_LOOP + 1) if steps % n == 0), default=1),
        **dict(spec.options),
    ).resolved()
    config.check_against(splits)
    return config


def trial_record(
    spec: TrialSpec,
    effective: dict[str, float | None],
    results: dict[str, Any],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """The line of the log of a trial that ran.

    Args:
        spec: `TrialSpec`.
        effective: The effective rate at the start.
        results: What `Trial.results` returns.
        seconds: Dict of the seconds of building, training and evaluation.
    """
    seconds = {**seconds, "total": sum(seconds.values())}
    return {
        **empty_record(spec),
        **results,
        "effective_rate": {**effective, **results["effective_rate"]},
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def effective_rate(model: keras.Model, rate: float) -> float | None:
    """The learning rate divided by the mean square of ||v||, as a geometric mean over kernels.

    Where the length of v has no effect, it is the step of v's direction. The classifier is left
    out, because the length of its kernel matters in most methods, and so are kernels of zeros,
    which have no direction. None if the rest is not finite.
    """
    found = [
        value
        for name, value in kernel_norms(model, rate).items()
        if name.startswith("effective") and "logits" not in name and value != math.inf
    ]
    logarithms = np.log(found)
    return float(np.exp(logarithms.mean())) if np.all(np.isfinite(logarithms)) else None


class Network:
    """A network with its compiled step, and the starts of the seeds that were asked for.

    Args:
        config: `TrainConfig` of the first trial.
        splits: `Splits`, for the shapes.
        devices: `Devices`.
    """

    def __init__(self, config: TrainConfig, splits: Splits, devices: device_choice.Devices):
        self.is_compiled = False
        # `lanes.py` keeps its compiled step here.
        self.lanes: Any = None
        self._devices = devices
        self._starts: dict[tuple, list[np.ndarray]] = {}
        self.step = loop.make_step(config, splits.image_shape, splits.classes, devices)
        self._new_optimizer = _values(self.step.optimizer.variables)

    def put_at_start(self, config: TrainConfig, splits: Splits) -> None:
        """Puts the network where a run of this configuration starts."""
        step = self.step
        variables = [*step.model.variables, *step.optimizer.variables]

        def start():
            self._initialize(config, splits)
            return _values(variables)

        # A start may depend on the training images.
        step.assign(_kept(self._starts, (config.seed, len(splits.train)), start))

    def values(self) -> list[np.ndarray]:
        """The values of the variables of the model and of the optimizer."""
        return _values([*self.step.model.variables, *self.step.optimizer.variables])

    def compile(self, config: TrainConfig, draw: Draw) -> None:
        """Runs the step and an evaluation once, so that no compilation is timed as training."""
        timetable = loop.make_timetable(config, draw.splits)
        rates = timetable.rates[: timetable.steps_per_loop]
        self.step.load()
        self.step.train(
            *next(loop.training_batches(config, draw.splits, 0)), rates, timetable.decay
        )
        self.step.store()
        self.step.evaluate(*next(iter(draw.evaluation_batches["validation"])))
        self.is_compiled = True

    def _initialize(self, config, splits):
        model, optimizer = self.step.model, self.step.optimizer
        keras.utils.set_random_seed(config.seed)
        for layer in model.layers:
            # A layer is built without a call, which takes most of the time of making a network.
            with self._devices.scope():
                fresh = type(layer).from_config(layer.get_config())
                fresh.build_from_config(layer.get_build_config())
            for variable, value in zip(layer.variables, fresh.variables, strict=True):
                variable.assign(value)
        if config.method.initialize:
            images, _ = splits.train.sample(config.batch_size * config.init_batches, config.seed)
            config.method.initialize(model, images)
        for variable, value in zip(optimizer.variables, self._new_optimizer, strict=True):
            variable.assign(value)


def _values(variables):
    # Copied, because an array may share the memory of the variable that it comes from.
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


class Trial:
    """Measures a trial while it trains, and the time that measuring takes.

    Args:
        spec: `TrialSpec`.
        step: `TensorFlowStep` or `JaxStep`.
        draw: `Draw`.
        timetable: `Timetable`.

    Attributes:
        step, timetable: As given.
        stop: `StopRequest` to which nobody listens: the study ends its processes.
        epochs: Epochs that are done.
        curves: Dict of lists, the metrics by epoch; empty if the trial asks for none.
        signals: List of dicts, the signal by block at the epochs that the trial asks for.
        seconds: Time that measuring took while the network trained.
    """

    is_alone = True

    def __init__(self, spec: TrialSpec, step: Any, draw: Draw, timetable: Timetable):
        self._spec, self._draw = spec, draw
        self.step, self.timetable, self.stop = step, timetable, StopRequest()
        self._kept: KeptState | None = None
        self.epochs, self.seconds, self.signals = 0, 0.0, []
        self.curves = (
            {"epoch": [], "train_loss": [], **{name: [] for name in spec.splits}}
            if spec.curve_epochs
            else {}
        )

    def begin(self, kept: KeptState | None = None, first: int = 0) -> None:
        """Measures the signal at the start, if it is asked for."""
        self._kept = kept
        # The step may still hold the state of the trial before.
        self.step.load()
        if 0 in self._spec.signal_epochs and not first:
            self._timed(self._measure_signal)

    def advance(self, step: int) -> None:
        """Does nothing: a trial shows nothing while it trains."""

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Does nothing: a trial logs at the ends of epochs alone."""

    def end_epoch(self, epoch: int, metrics: dict[str, float]) -> bool:
        """Measures at the asked epochs. Returns whether the loss and the weights are finite."""
        self.epochs = epoch
        if not losses_are_finite([metrics]):
            return False
        if epoch in self._spec.signal_epochs:
            self._timed(self._measure_signal)
        # The last epoch is measured by `results`.
        if epoch in self._spec.curve_epochs and epoch < self._spec.train_epochs:
            self._timed(lambda: self._extend_curves(self._figures()))
        return self._weights_are_finite()

    def checkpoint(self, step: int, sums: Sequence[float]) -> None:
        """Keeps the state of a long trial."""
        if self._kept:
            self._kept.write(step)

    def results(self, finite: bool) -> dict[str, Any]:
        """Measures the trial after its last epoch. Returns what its record in the log holds.

        Args:
            finite: Whether the loss and the weights stayed finite.
        """
        self.step.store()
        final = self._figures() if finite else {}
        finite = finite and losses_are_finite(final.values())
        if final and self._spec.curve_epochs:
            self._extend_curves(final)
        return {
            "status": "finished" if finite else "diverged",
            "epochs": self.epochs,
            "final": final,
            "correct": self._correct_images() if finite and self._spec.keeps_correct else None,
            "effective_rate": {"end": effective_rate(self.step.model, self._spec.learning_rate)},
            "curves": self.curves,
            "signal": self.signals,
        }

    def _correct_images(self):
        """Tells which test images are classified correctly: a bit for each, in base 64."""
        found = [
            np.asarray(rank_of_truth(labels, self.step.logits(images)) < 1)[np.asarray(weights) > 0]
            for images, labels, weights in self._draw.evaluation_batches["test"]
        ]
        return base64.b64encode(np.packbits(np.concatenate(found)).tobytes()).decode()

    def _weights_are_finite(self):
        self.step.store()
        return is_finite(self.step.model)

    def _timed(self, measure: Callable):
        start = time.perf_counter()
        measure()
        self.seconds += time.perf_counter() - start

    def _figures(self):
        self.step.store()
        batches = self._draw.evaluation_batches
        return {name: evaluate(self.step, batches[name]) for name in self._spec.splits}

    def _extend_curves(self, metrics):
        self.curves["epoch"].append(self.epochs)
        self.curves["train_loss"].append(metrics["train"]["loss"])
        for name in self._spec.splits:
            self.curves[name].append(metrics[name]["top1"])

    def _measure_signal(self):
        self.step.store()
        train = self._draw.splits.train
        images, labels = train.sample(min(_SIGNAL_IMAGES, len(train)), self._spec.seed)
        one_hot = np.eye(self._draw.splits.classes, dtype="float32")[labels]
        blocks, gradient_norm = signal_report.measure(
            self.step.model, images, one_hot, self.step.loss
        )
        metrics = {"gradient_norm": gradient_norm, "blocks": list(map(dataclasses.asdict, blocks))}
        self.signals.append({"epoch": self.epochs, **metrics})


def _kept(cache, key, make):
    """A value of a cache that keeps the newest few, made if it is missing."""
    if key not in cache:
        while len(cache) >= _KEPT:
            cache.pop(next(iter(cache)))
        cache[key] = make()
    return cache[key]
