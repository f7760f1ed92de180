"""Long trials go on where they were stopped."""

import json
import shutil

from keras_wn.data.splits import Examples
from keras_wn.training import files
from keras_wn.training.checkpoints import Checkpoints
from keras_wn.training.keeping import KeepState
from keras_wn.training.stop import StopRequest


class Resuming(KeepState):
    """Keeps the state of one trial after each epoch: the checkpoint, and what was measured so far.

    Args:
        folder: `pathlib.Path` of the trial, which is made, and removed by `clear`.
        spec: `TrialSpec`.
        steps_per_epoch: Positive integer.
        measured: `Measuring`; it must come before this in the list of callbacks.
    """

    def __init__(self, folder, spec, steps_per_epoch, measured):
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            Checkpoints(folder, {"trial": spec.id}),
            alone=False,
            every=steps_per_epoch,
            steps_per_epoch=steps_per_epoch,
            first_step=0,
            metrics=[],
            stop=StopRequest(),
        )
        self._folder, self._measured = folder, measured

    def restore(self, model):
        """Puts the model and what was measured in the newest state that is whole; returns the epochs that are done."""
        files.remove_leftovers(self._folder)
        step, _ = self._checkpoints.restore_newest(model)
        epochs = step // self._steps_per_epoch
        if epochs:
            self._measured.restore(json.loads(self._state.read_text(encoding="utf-8")), epochs)
        self._first_step = self.step = step
        return epochs

    def on_epoch_end(self, epoch, logs=None):
        # Before the checkpoint, which it may be ahead of but never behind.
        files.write_json(self._state, self._measured.state())
        super().on_epoch_end(epoch, logs)

    def clear(self):
        """Removes what was kept: the trial is in the log."""
        shutil.rmtree(self._folder)

    @property
    def _state(self):
        return self._folder / "measured.json"


def is_worth_it(splits):
    """Whether a trial takes long: where images are in memory it is minutes, and starts over."""
    return not isinstance(splits.train, Examples)
