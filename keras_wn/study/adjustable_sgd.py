"""An optimizer whose settings change without a new compilation."""

import numpy as np
from keras import ops

from keras_wn.training.optimizer import SGDL2


class AdjustableSGD(SGDL2):
    """SGD with momentum whose learning rates and weight decay are variables: trials that differ by them share one compiled step.

    Args:
        l2: Ignored: `adjust` sets it.
        decayed: As `SGDL2`'s.
        learning_rate: Ignored: `adjust` sets it.
        steps: Positive integer, the longest run in updates.
        **kwargs: As `SGDL2`'s.
    """

    def __init__(self, l2=0.0, decayed=(), learning_rate=0.0, *, steps, **kwargs):
        del l2, learning_rate
        super().__init__(0.0, decayed, learning_rate=0.0, **kwargs)
        # The optimizer's own, so that every backend hands them to the compiled step.
        self.l2 = self.add_variable((), dtype="float32", name="l2")
        self._rates = self.add_variable((steps,), dtype="float32", name="rates")

    def adjust(self, rates, l2):
        """Takes other settings; the state of a run is left as it is.

        Args:
            rates: Array of the learning rate of each update, at most as many as `steps`.
            l2: Float, weight decay.
        """
        padded = np.zeros(self._rates.shape, "float32")
        padded[: len(rates)] = rates
        self._rates.assign(padded)
        self.l2.assign(l2)

    def _decays(self):
        return True

    def _get_current_learning_rate(self):
        return ops.take(self._rates, ops.minimum(self._iterations, self._rates.shape[0] - 1))
