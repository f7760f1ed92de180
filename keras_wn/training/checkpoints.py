"""Checkpoints at the end of each epoch."""

import re

import h5py
import keras
import numpy as np

from keras_wn.training import files

_NAME = re.compile(r"epoch-(\d+)\.weights\.h5")
_KEPT = 2
# Group of the file for what Keras leaves out of it.
_RANDOM_STATES = "random_states"


class EpochCheckpoint(keras.callbacks.Callback):
    """Writes weights, optimizer and random state after each epoch, atomically, and keeps the last two.

    Args:
        folder: `pathlib.Path` of an existing folder.
    """

    def __init__(self, folder):
        super().__init__()
        self._folder = folder

    def on_epoch_end(self, epoch, logs=None):
        losses = [(logs or {}).get(name, 0.0) for name in ("loss", "val_loss")]
        if not np.all(np.isfinite(losses)):  # Diverged: the last good state stays the newest.
            return
        with files.atomic_path(self._folder / f"epoch-{epoch + 1:04d}.weights.h5") as temporary:
            self.model.save_weights(temporary)
            with h5py.File(temporary, "a") as file:
                group = file.create_group(_RANDOM_STATES)
                for i, variable in enumerate(_random_states(self.model)):
                    group[str(i)] = keras.ops.convert_to_numpy(variable)
        for _, path in _by_epoch(self._folder)[:-_KEPT]:
            path.unlink()


def restore_newest(model, folder):
    """Loads the newest checkpoint into a compiled model.

    Args:
        model: Compiled Keras model of the run.
        folder: `pathlib.Path` of the checkpoints.

    Returns:
        Integer, the number of epochs that are done; 0 if there is no checkpoint.
    """
    saved = _by_epoch(folder)
    if not saved:
        return 0
    epoch, path = saved[-1]
    model.optimizer.build(model.trainable_variables)
    model.load_weights(path)
    with h5py.File(path) as file:
        for i, variable in enumerate(_random_states(model)):
            variable.assign(file[_RANDOM_STATES][str(i)][()])
    return epoch


def _random_states(model):
    weights = {id(v) for v in model.weights}
    return [v for v in model.variables if id(v) not in weights]


def _by_epoch(folder):
    matches = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    return sorted((int(match[1]), path) for match, path in matches if match)
