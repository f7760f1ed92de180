"""Defines a callback that writes norms, gains and effective learning rates for TensorBoard."""

import importlib.util
import os
import pathlib

import keras
import numpy as np

from keras_wn.event_file import Scalars
from keras_wn.model_summary import current_rate, kernel_figures


class WeightNormMonitor(keras.callbacks.Callback):
    """Writes the norms and gains of weight normalization over training, for TensorBoard.

    For each weight-normalized kernel, it writes the mean over the output units of `||v||` as
    `norm/<path>` and of the gain g as `gain/<path>`, and the effective learning rate
    `lr / mean(||v||^2)` as `effective_learning_rate/<path>`, by which SGD turns the direction of v
    (see `keras_wn.summary`, which shows medians and ranges). The rate itself is `learning_rate`.
    The step of a number is that of the batches that this callback has seen.

    It needs the library tensorboard and no TensorFlow, and works on every backend.

    Args:
        log_dir: Path of the folder that TensorBoard is started with. The numbers are in its folder
            `weight_norm`, next to those of `keras.callbacks.TensorBoard`.
        update_freq: "epoch", or a number of batches. The numbers are also written before the first
            batch, if the model is built.

    Raises:
        ValueError: If `update_freq` is neither, or, when training starts, if the model has no
            weight-normalized kernel.
        ImportError: If tensorboard is not installed.

    Example:

    >>> import os, tempfile
    >>> import keras, keras_wn, numpy as np
    >>> model = keras.Sequential([keras.Input((4,)), keras_wn.layers.WNDense(3)])
    >>> model.compile("sgd", "mse")
    >>> folder = tempfile.mkdtemp()
    >>> monitor = keras_wn.callbacks.WeightNormMonitor(folder)
    >>> history = model.fit(
    ...     np.ones((8, 4)), np.ones((8, 3)), epochs=2, verbose=0, callbacks=[monitor]
    ... )
    >>> os.listdir(folder)
    ['weight_norm']

    Reference: van Laarhoven 2017, arXiv 1706.05350, for the effective learning rate.
    """

    def __init__(self, log_dir: str | os.PathLike = "logs", update_freq: str | int = "epoch"):
        super().__init__()
        is_count = isinstance(update_freq, int) and not isinstance(update_freq, bool)
        if update_freq != "epoch" and not (is_count and update_freq > 0):
            raise ValueError(
                f"WeightNormMonitor: update_freq={update_freq!r} is not allowed. "
                'Allowed: "epoch" or a positive number of batches.'
            )
        if importlib.util.find_spec("tensorboard") is None:
            raise ImportError(
                "WeightNormMonitor needs tensorboard, which is not installed. Install it by "
                "`pip install tensorboard`."
            )
        self.log_dir = pathlib.Path(log_dir)
        self.update_freq = update_freq
        self._batches = 0
        self._last_batch = -1

    def on_train_begin(self, logs: dict | None = None) -> None:
        self._scalars = Scalars(self.log_dir / "weight_norm")
        # On some backends, the first batch builds a model that has no Input.
        if self.model.built:
            self._write()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._last_batch = -1

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        before = self._batches
        # Keras calls this once for `steps_per_execution` batches.
        self._batches += batch - self._last_batch
        self._last_batch = batch
        if self.update_freq != "epoch":
            if self._batches // self.update_freq > before // self.update_freq:
                self._write()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self.update_freq == "epoch":
            self._write()

    def _write(self):
        # Keras' trainer on JAX holds the weights itself within an epoch.
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        normalized = [figures for figures in kernel_figures(self.model) if figures.is_normalized]
        if not normalized:
            raise ValueError(
                f"WeightNormMonitor: model '{self.model.name}' has no weight-normalized kernel. "
                "Allowed: a model with layers of keras_wn, such as keras_wn.weight_norm(model)."
            )
        rate = current_rate(self.model)
        values = {"learning_rate": rate}
        for figures in normalized:
            values |= figures.scalars(rate)
            if figures.gain is not None:
                values[f"gain/{figures.path}"] = float(np.mean(figures.gains()))
        self._scalars.write(self._batches, values)
