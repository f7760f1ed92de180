"""Keeps the state of a long trial on the disk, so that a study that was stopped goes on from it."""

import json
import pathlib
import shutil
from typing import Any

from keras_wn.errors import UsageError
from keras_wn.study.specs import TrialSpec
from keras_wn.training import files
from keras_wn.training.checkpoints import Checkpoints


class KeptState:
    """Keeps the state of a long trial after each epoch: a checkpoint, and the measurements so far.

    Args:
        folder: `pathlib.Path` of the trial, which is made, and removed by `clear`.
        spec: `TrialSpec`.
        step: `TensorFlowStep` or `JaxStep`.
        trial: `Trial`.
    """

    def __init__(self, folder: pathlib.Path, spec: TrialSpec, step: Any, trial: Any):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._step, self._trial = folder, step, trial
        self._checkpoints = Checkpoints(folder, {"trial": spec.id})
        self._measured = folder / "measured.json"

    def restore(self) -> int:
        """Goes back to the newest state that is whole. Returns the steps that are done."""
        files.remove_leftovers(self._folder)
        step, _ = self._checkpoints.restore_newest(self._variables())
        if step:
            state = json.loads(self._measured.read_text(encoding="utf-8"))
            epochs, curves = step // state["steps_per_epoch"], state["curves"]
            rows = [i for i, epoch in enumerate(curves.get("epoch", [])) if epoch <= epochs]
            self._trial.epochs = epochs
            self._trial.curves = {
                name: [values[i] for i in rows] for name, values in curves.items()
            }
            self._trial.signals = [s for s in state["signals"] if s["epoch"] <= epochs]
        return step

    def write(self, step: int) -> None:
        """Writes the state after an epoch.

        Raises:
            UsageError: If the disk is full. The state is then that of the epoch before.
        """
        trial = self._trial
        state = {"curves": trial.curves, "signals": trial.signals}
        try:
            # Written before the checkpoint, which it may be ahead of but never behind.
            files.write_json(self._measured, {**state, "steps_per_epoch": step // trial.epochs})
            self._checkpoints.write(self._variables(), step)
        except OSError as error:
            raise UsageError(
                f"--out={self._folder.parents[1]}: the state of a trial cannot be written "
                f"({' '.join(str(error).split())}). The trials in the log are whole; the same "
                "command goes on from them."
            ) from error

    def clear(self) -> None:
        """Removes the state, once the trial is measured."""
        shutil.rmtree(self._folder)

    def _variables(self):
        return [*self._step.model.variables, *self._step.optimizer.variables]
