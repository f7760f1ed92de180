"""What a run writes and says while it trains."""

import time

import keras
import numpy as np

from keras_wn.training import files


class MetricsLog(keras.callbacks.Callback):
    """Appends a line per epoch and split to a JSON-lines file.

    The training line's loss and accuracy are Keras' running averages over the epoch, in training mode; the validation line's
    are measured after it, in inference mode. `images_per_second` counts training alone, and not an epoch's first step, which
    may compile.

    `learning_rate` is that of the epoch's last step.

    Args:
        path: Path of the file; None in a process that writes none.
        batch_size: Global batch size.
        steps_per_epoch: Positive integer.
        rate_of: Function from a step, counted from 1, to its learning rate.
    """

    def __init__(self, path, batch_size, steps_per_epoch, rate_of):
        super().__init__()
        self.images_per_second = []
        self._path = path
        self._batch_size = batch_size
        self._steps_per_epoch = steps_per_epoch
        self._rate_of = rate_of

    def on_epoch_begin(self, epoch, logs=None):
        self._step_ends = []

    def on_train_batch_end(self, batch, logs=None):
        self._step_ends.append(time.perf_counter())

    def on_epoch_end(self, epoch, logs=None):
        steps = len(self._step_ends) - 1
        speed = steps * self._batch_size / (self._step_ends[-1] - self._step_ends[0]) if steps > 0 else None
        if speed:
            self.images_per_second.append(speed)
        logs = dict(logs or {})
        step = (epoch + 1) * self._steps_per_epoch
        rate = self._rate_of(step)
        for split, prefix in (("train", ""), ("validation", "val_")):
            if f"{prefix}loss" not in logs:
                continue
            record = {"epoch": epoch + 1, "step": step, "split": split, "mode": "inference" if prefix else "training"}
            record |= {name: float(logs[f"{prefix}{name}"]) for name in ("loss", "top1", "top5")}
            record |= {"learning_rate": rate, "images_per_second": None if prefix else speed}
            if self._path:
                files.append_json_line(self._path, record)

    def typical_images_per_second(self):
        """Median over the epochs; None if no epoch had two steps."""
        return float(np.median(self.images_per_second)) if self.images_per_second else None


class RemainingTime(keras.callbacks.Callback):
    """Says after each epoch about how long the rest takes."""

    def on_train_begin(self, logs=None):
        self._last = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        left = self.params["epochs"] - epoch - 1
        if left and not self.model.stop_training:
            print(f"About {_in_words(left * seconds)} left ({left} epochs).", flush=True)


def _in_words(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
