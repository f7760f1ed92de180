"""When a run has diverged."""

import keras
from keras import ops


class StopDiverged(keras.callbacks.TerminateOnNaN):
    """Ends a run whose loss, or whose weights after an epoch, are not finite.

    The loss alone does not tell: the ReLU of some libraries turns NaN into 0, as oneDNN's does, and a net of NaN weights goes on with a
    finite loss.
    """

    def on_epoch_end(self, epoch, logs=None):
        if not weights_are_finite(self.model):
            print(f"Epoch {epoch + 1}: weights that are not finite, terminating training")
            self.model.stop_training = True


def weights_are_finite(model):
    """Whether every trained variable of a model is finite.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> weights_are_finite(model)
    True
    >>> _ = model.layers[0].bias.assign([float("nan")])
    >>> weights_are_finite(model)
    False
    """
    # A sum is finite if everything in it is, but for overflow, which is divergence as well.
    sums = [ops.sum(ops.cast(ops.abs(ops.convert_to_tensor(v)), "float32")) for v in model.trainable_variables]
    return not sums or bool(ops.isfinite(ops.sum(ops.stack(sums))))
