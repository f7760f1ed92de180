"""How a run that may start in the midst of an epoch is divided into calls of `fit`."""

import dataclasses

import keras


@dataclasses.dataclass(frozen=True)
class Part:
    """Arguments of one call of `fit`, whose epochs are all of one length."""

    first_step: int
    first_epoch: int
    last_epoch: int
    steps_per_epoch: int


def parts(step, steps_per_epoch, epochs):
    """The calls of `fit` that are left of a run: the rest of an epoch, and whole epochs.

    Args:
        step: Integer, steps that are done.
        steps_per_epoch: Positive integer.
        epochs: Integer, epochs of the whole run.

    Returns:
        List of `Part`.

    Example:

    >>> for part in parts(step=23, steps_per_epoch=10, epochs=5):
    ...     print(part.first_step, part.first_epoch, part.last_epoch, part.steps_per_epoch)
    23 2 3 7
    30 3 5 10
    """
    epoch, done = divmod(step, steps_per_epoch)
    found = []
    if done and epoch < epochs:
        found.append(Part(step, epoch, epoch + 1, steps_per_epoch - done))
        epoch, step = epoch + 1, step + steps_per_epoch - done
    if epoch < epochs:
        found.append(Part(step, epoch, epochs, steps_per_epoch))
    return found


class NotTheEnd(keras.callbacks.Callback):
    """Keeps `fit` from putting averaged weights in the place of the trained ones, which it does when it ends."""

    def on_epoch_end(self, epoch, logs=None):
        # Read again only when the call ends: the step is compiled.
        self._averages = self.model.optimizer.use_ema
        self.model.optimizer.use_ema = False

    def on_train_end(self, logs=None):
        self.model.optimizer.use_ema = self._averages
