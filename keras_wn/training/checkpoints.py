"""Checkpoints from which a run continues at the exact step."""

import hashlib
import json
import re
import sys

import h5py
import keras

from keras_wn.training import files
from keras_wn.training.errors import UsageError

# The step, and the start of the file's SHA-256: a file that was torn or damaged does not fit its own name.
_NAME = re.compile(r"step-(\d+)\.([0-9a-f]{16})\.weights\.h5")
_KEPT = 2
# Groups of the file for what Keras leaves out of it.
_RANDOM_STATES, _METRICS = "random_states", "metrics"
_RUN = "run"


class Checkpoints:
    """The checkpoints of a run in one folder: written atomically, checked when read, the last two kept.

    Args:
        folder: `pathlib.Path` of an existing folder.
        run: Dict of what must be the same in the run that reads a checkpoint, for example its method and model.
        writes: Boolean, whether this process is the one of a run that writes. All processes must call `write`: what the metrics hold
            is a sum over all of them.
    """

    def __init__(self, folder, run, writes=True):
        self._folder = folder
        self._run = run
        self._writes = writes

    def write(self, model, step):
        """Writes weights, optimizer, random and metric states of `model` after `step` steps."""
        metrics = [keras.ops.convert_to_numpy(variable) for variable in model.metrics_variables]
        if not self._writes:
            return
        random_states = [keras.ops.convert_to_numpy(variable) for variable in _random_states(model)]
        with files.temporary_path(self._folder / "new.weights.h5") as temporary:
            model.save_weights(temporary)
            with h5py.File(temporary, "a") as file:
                file.attrs[_RUN] = json.dumps(self._run)
                for name, arrays in ((_RANDOM_STATES, random_states), (_METRICS, metrics)):
                    group = file.create_group(name)
                    for i, array in enumerate(arrays):
                        group[str(i)] = array
            newest = self._folder / f"step-{step:08d}.{_digest(temporary)}.weights.h5"
            files.move(temporary, newest)
        # One that was written before, at this step or after it, is of a run that was continued from an earlier one.
        others = [path for other, path in self._by_step() if other < step]
        kept = {newest, *others[1 - _KEPT :]}
        for _, path in self._by_step():
            if path not in kept:
                path.unlink()

    def restore_newest(self, model):
        """Loads the newest checkpoint that is whole into a compiled model; says so of each that is not.

        Args:
            model: Compiled Keras model of the run.

        Returns:
            Integer, the number of steps that are done, 0 if there is no checkpoint; and a list of arrays, the states of the metrics,
            which Keras makes, and clears, when an epoch begins.

        Raises:
            UsageError: If there are checkpoints and none is whole, or if they are another run's.
        """
        saved = self._by_step()
        for step, path in reversed(saved):
            if not _is_whole(path):
                print(
                    f"*** Checkpoint {path.name} is damaged, and left out: its content does not fit its name. ***",
                    file=sys.stderr,
                )
                continue
            return step, self._load(model, path)
        if saved:
            raise UsageError(
                f"--resume: no checkpoint in {self._folder} is whole ({', '.join(path.name for _, path in saved)}). "
                "Allowed: --overwrite to start anew."
            )
        return 0, []

    def _load(self, model, path):
        model.optimizer.build(model.trainable_variables)
        with h5py.File(path) as file:
            there = json.loads(file.attrs.get(_RUN, "{}"))
            differences = [
                f"{key} {there.get(key)!r}, not {value!r}"
                for key, value in self._run.items()
                if there.get(key) != value
            ]
            if differences:
                raise UsageError(
                    f"--resume: {path} is a checkpoint of another run: {'; '.join(differences)}. Allowed: this run's own."
                )
            try:
                model.load_weights(path)
            except ValueError as error:
                raise UsageError(
                    f"--resume: {path} does not fit this run's network ({' '.join(str(error).split())[:200]}). "
                    "Allowed: the data set, with its number of classes, and the package that it was written with."
                ) from error
            for i, variable in enumerate(_random_states(model)):
                variable.assign(file[_RANDOM_STATES][str(i)][()])
            return [file[_METRICS][str(i)][()] for i in range(len(file[_METRICS]))]

    def _by_step(self):
        matches = [(_NAME.fullmatch(path.name), path) for path in self._folder.iterdir()]
        return sorted((int(match[1]), path) for match, path in matches if match)


def _is_whole(path):
    return _digest(path) == _NAME.fullmatch(path.name)[2]


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _random_states(model):
    weights = {id(v) for v in model.weights}
    return [v for v in model.variables if id(v) not in weights]
