"""What TensorBoard shows of a run beside Keras' own scalars."""

import time

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_wn.layers.kernels import kernels_of
from keras_wn.reparameterizations import norm
from keras_wn.training import signal


class Watch(keras.callbacks.Callback):
    """Writes scalars for TensorBoard, by step.

    Every few steps: `running/*`, Keras' running averages of loss and accuracy over the epoch; `learning_rate`; `images_per_second`;
    of each kernel `norm/*`, ||v|| averaged over its units, and `effective_learning_rate/*`, the learning rate over the mean square of
    ||v||: the step of v's direction where the length of v has no effect. After each epoch, on one fixed batch: `gradient_norm` of all
    weights, and of each residual block `variance/*` and `block_gradient_norm/*`.

    Args:
        folder: Path for the logs.
        rate_of: Function from a step, counted from 1, to its learning rate.
        every: Positive integer, steps between two of the frequent ones.
        steps_per_epoch: Positive integer.
        first_step: Integer, steps that were done before.
        batch_size: Global batch size.
        batch: Pair of images and one-hot labels, for what is measured after an epoch.
    """

    def __init__(self, folder, rate_of, every, steps_per_epoch, first_step, batch_size, batch):
        super().__init__()
        self._folder, self._rate_of, self._every = str(folder), rate_of, every
        self._steps_per_epoch, self._first_step, self._batch_size, self._batch = (
            steps_per_epoch,
            first_step,
            batch_size,
            batch,
        )
        self._writer = None

    def on_train_begin(self, logs=None):
        # One file for all of a process: Keras trains the rest of an epoch and the epochs after it in two parts.
        self._writer = self._writer or tf.summary.create_file_writer(self._folder)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_start = max(self._first_step, epoch * self._steps_per_epoch)
        self._previous, self._then = self._epoch_start, time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        step = self._epoch_start + batch + 1
        if step // self._every == self._previous // self._every and step % self._steps_per_epoch:
            return
        now = time.perf_counter()
        speed = (step - self._previous) * self._batch_size / (now - self._then)
        self._previous, self._then = step, now
        rate = self._rate_of(step)
        scalars = {f"running/{name}": value for name, value in (logs or {}).items()}
        self._write(step, {**scalars, "learning_rate": rate, "images_per_second": speed, **_norms(self.model, rate)})

    def on_epoch_end(self, epoch, logs=None):
        images, labels = self._batch
        blocks, gradient_norm = signal.measure(self.model, images, labels, self.model.loss)
        scalars = {"gradient_norm": gradient_norm}
        scalars |= {f"variance/{block.block}": block.variance for block in blocks}
        scalars |= {f"block_gradient_norm/{block.block}": block.gradient_norm for block in blocks}
        self._write((epoch + 1) * self._steps_per_epoch, scalars)

    def close(self):
        """Closes the file."""
        if self._writer:
            self._writer.close()

    def _write(self, step, scalars):
        with self._writer.as_default(step):
            for name, value in scalars.items():
                tf.summary.scalar(name, value)
        self._writer.flush()


def _norms(model, rate):
    scalars = {}
    for layer in model.layers:
        for kernel in kernels_of(layer):
            lengths = ops.convert_to_numpy(norm(kernel.variable.value, kernel.fan_in)).astype("float64")
            scalars[f"norm/{kernel.variable.path}"] = np.mean(lengths)
            scalars[f"effective_learning_rate/{kernel.variable.path}"] = rate / max(
                np.mean(lengths**2), np.finfo(float).tiny
            )
    return scalars
