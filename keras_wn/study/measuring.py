"""What a trial measures while it trains and when it is through."""

import dataclasses
import time

import keras
import numpy as np
import tensorflow as tf

from keras_wn.data import pipeline
from keras_wn.training import signal

# Images of an evaluation's batch: all batches are of one size, so that the step is compiled once.
_EVALUATED_AT_ONCE = 256
# Images up to which a split's batches are kept in memory.
_MADE_ONCE = 4096
_SIGNAL_IMAGES = 64


class Measuring(keras.callbacks.Callback):
    """Measures splits and signals at the ends of some epochs, and counts the time that training takes without it.

    Args:
        spec: `TrialSpec`.
        splits: `Splits` of the trial.
        batches: Dict from the name of a split to its batches, as `evaluation_batches` gives them.

    Attributes:
        epochs: Epochs that are done.
        curves: Dict of lists, the figures by epoch; empty if none are asked for.
        signals: List of dicts.
        seconds: Time spent in here.
    """

    def __init__(self, spec, splits, batches):
        super().__init__()
        self._spec, self._splits, self._batches = spec, splits, batches
        self.epochs, self.signals, self.seconds = 0, [], 0.0
        self.curves = {"epoch": [], "train_loss": [], **{name: [] for name in spec.splits}} if spec.curve_epochs else {}

    def on_train_begin(self, logs=None):
        if 0 in self._spec.signal_epochs and not self.epochs:
            self._timed(self._measure_signal)

    def on_epoch_end(self, epoch, logs=None):
        self.epochs = epoch + 1
        if not np.isfinite(logs["loss"]):
            return
        if self.epochs in self._spec.signal_epochs:
            self._timed(self._measure_signal)
        # The end is measured when all is through.
        if self.epochs in self._spec.curve_epochs and self.epochs < self._spec.train_epochs:
            self._timed(self._measure_curves)

    def state(self):
        """What was measured so far, for `restore`."""
        return {"curves": self.curves, "signals": self.signals}

    def restore(self, state, epochs):
        """Takes over what an earlier process measured in the first `epochs` epochs."""
        self.epochs = epochs
        kept = [i for i, epoch in enumerate(state["curves"].get("epoch", [])) if epoch <= epochs]
        self.curves = {name: [values[i] for i in kept] for name, values in state["curves"].items()}
        self.signals = [signal for signal in state["signals"] if signal["epoch"] <= epochs]

    def at_end(self, model):
        """Figures of the trial's splits; `model` is given, as training is over."""
        self.set_model(model)
        figures = self._figures()
        if self._spec.curve_epochs:
            self._extend(figures)
        return figures

    def _timed(self, measure):
        start = time.perf_counter()
        measure()
        self.seconds += time.perf_counter() - start

    def _figures(self):
        return {name: evaluated(self.model, self._batches[name]) for name in self._spec.splits}

    def _measure_curves(self):
        self._extend(self._figures())

    def _extend(self, figures):
        self.curves["epoch"].append(self.epochs)
        self.curves["train_loss"].append(figures["train"]["loss"])
        for name in self._spec.splits:
            self.curves[name].append(figures[name]["top1"])

    def _measure_signal(self):
        count = min(_SIGNAL_IMAGES, len(self._splits.train))
        images, labels = self._splits.train.sample(count, self._spec.seed)
        one_hot = np.eye(self._splits.classes, dtype="float32")[labels]
        blocks, gradient_norm = signal.measure(self.model, images, one_hot, self.model.loss)
        blocks = [dataclasses.asdict(block) for block in blocks]
        self.signals.append({"epoch": self.epochs, "gradient_norm": gradient_norm, "blocks": blocks})


def batches_of(split, classes):
    """A split's batches for `evaluated`."""
    batches = split.evaluation_batches(_EVALUATED_AT_ONCE, classes, replicas=_EVALUATED_AT_ONCE)
    if len(split) > _MADE_ONCE:
        return batches
    # To begin a pass through the pipeline takes longer than a small net's pass through its images.
    made = (np.stack(arrays) for arrays in zip(*batches.as_numpy_iterator(), strict=True))
    return pipeline.untuned(tf.data.Dataset.from_tensor_slices(tuple(made)))


def evaluated(model, batches):
    """Loss, top-1 and top-5 in inference mode, on images as they are."""
    return model.evaluate(batches, return_dict=True, verbose=0)
