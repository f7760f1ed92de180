"""What keeps a run from being lost: checkpoints as it goes, its best model, an orderly stop."""

import keras
import numpy as np

from keras_wn.training import files
from keras_wn.training.diverged import weights_are_finite


class KeepState(keras.callbacks.Callback):
    """Writes a checkpoint every few steps, after each epoch, and when the run is told to stop; then stops it.

    A signal that comes while an epoch's validation runs ends the run there, with the last checkpoint that is written. So does one in a run
    of several processes, which may be told to stop at different steps.

    Args:
        checkpoints: `Checkpoints`.
        alone: Boolean, whether this is the run's only process.
        every: Positive integer, steps between two checkpoints.
        steps_per_epoch: Positive integer.
        first_step: Integer, steps that were done before.
        metrics: List of arrays, the metrics' states after `first_step` in the midst of an epoch.
        stop: `StopRequest`.

    Attributes:
        step: Integer, steps that are done.
    """

    def __init__(self, checkpoints, alone, every, steps_per_epoch, first_step, metrics, stop):
        super().__init__()
        self.step = first_step
        self._checkpoints, self._alone, self._every, self._stop = checkpoints, alone, every, stop
        self._steps_per_epoch, self._first_step, self._metrics = steps_per_epoch, first_step, metrics

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_start = max(self._first_step, epoch * self._steps_per_epoch)
        self._previous = self._epoch_start

    def on_train_batch_end(self, batch, logs=None):
        if self._previous == self._first_step and self._first_step % self._steps_per_epoch:
            # Keras has made the metrics, which are sums, by now, and cleared them when the epoch began.
            for variable, value in zip(self.model.metrics_variables, self._metrics, strict=True):
                variable.assign_add(value)
        self.step = step = self._epoch_start + batch + 1
        # The last step's state is written after the validation that belongs to its epoch.
        if step % self._steps_per_epoch:
            if (self._stop.signal and self._alone) or step // self._every > self._previous // self._every:
                self._write(step, logs)
            self._stop.check()
        self._previous = step

    def on_test_batch_end(self, batch, logs=None):
        self._stop.check()

    def on_epoch_end(self, epoch, logs=None):
        self._write((epoch + 1) * self._steps_per_epoch, logs)
        self._stop.check()

    def _write(self, step, logs):
        losses = [(logs or {}).get(name, 0.0) for name in ("loss", "val_loss")]
        # Diverged: the last good state stays the newest.
        if np.all(np.isfinite(losses)) and weights_are_finite(self.model):
            self._checkpoints.write(self.model, step)


class KeepBest(keras.callbacks.Callback):
    """Saves the model with the highest validation top-1 so far, apart from the checkpoints.

    Args:
        path: Path of the `.keras` file.
        best: Float, the highest validation top-1 before this process; None if there was none.
    """

    def __init__(self, path, best):
        super().__init__()
        self._path, self._best = path, best

    def on_test_end(self, logs=None):
        top1 = logs["top1"]
        if self._best is None or top1 > self._best:
            self._best = top1
            save_model(self.model, self._path)


class Stopping(keras.callbacks.Callback):
    """Ends an evaluation when the run is told to stop.

    Args:
        stop: `StopRequest`.
    """

    def __init__(self, stop):
        super().__init__()
        self._stop = stop

    def on_test_batch_end(self, batch, logs=None):
        self._stop.check()


def save_model(model, path):
    """Saves a model as a plain functional one, atomically: without the optimizer, whose class a user of it would need."""
    with files.atomic_path(path) as temporary:
        keras.Model(model.inputs, model.outputs, name=model.name).save(temporary)
