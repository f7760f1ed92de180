"""Writes checkpoints from which a run continues at the exact step, and reads them."""

import hashlib
import json
import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import keras
import numpy as np

from keras_wn.errors import UsageError
from keras_wn.training import files

# The step, and the start of the file's SHA-256. A file that was torn or damaged does not fit its
# own name.
_NAME = re.compile(r"step-(\d+)\.([0-9a-f]{16})\.h5")
_KEPT = 2


class Checkpoints:
    """The checkpoints of a run in one folder: written atomically, checked when read.

    A checkpoint is the values of all variables, in their order, and the sums of the epoch that is
    under way. The last two checkpoints are kept.

    Args:
        folder: `pathlib.Path` of a folder, which is made with the first checkpoint.
        run: Dict of what must be the same in the run that reads a checkpoint, for example its
            method and model.
        writes: Boolean, whether this process writes. In a run of several processes, one does.
    """

    def __init__(self, folder: pathlib.Path, run: Mapping[str, Any], writes: bool = True):
        self._folder = folder
        self._run = run
        self._writes = writes

    def write(
        self, variables: Sequence[keras.Variable], step: int, sums: Sequence[float] = ()
    ) -> None:
        """Writes the state of a run after `step` steps.

        Args:
            variables: Variables of the model and of the optimizer.
            step: Number of steps that are done.
            sums: Sums of the figures since the epoch began.

        Raises:
            OSError: If the disk is full. The checkpoints are then as they were.
        """
        if not self._writes:
            return
        # Make the file in memory, because HDF5 may crash the process if the disk is full.
        with h5py.File("checkpoint", "w", driver="core", backing_store=False) as file:
            file.attrs["run"] = json.dumps(self._run)
            file["sums"] = np.asarray(sums, "float64")
            for i, variable in enumerate(variables):
                dataset = file.create_dataset(
                    f"variables/{i}", data=keras.ops.convert_to_numpy(variable)
                )
                dataset.attrs["path"] = variable.path
            file.flush()
            image = file.id.get_file_image()
        self._folder.mkdir(exist_ok=True)
        newest = self._folder / f"step-{step:08d}.{hashlib.sha256(image).hexdigest()[:16]}.h5"
        with files.atomic_path(newest) as temporary:
            temporary.write_bytes(image)
        # Older checkpoints of this step or of later ones belong to a run that was continued from
        # an earlier step.
        others = [path for other, path in self._by_step() if other < step]
        kept = {newest, *others[1 - _KEPT :]}
        for _, path in self._by_step():
            if path not in kept:
                path.unlink()

    def restore_newest(self, variables: Sequence[keras.Variable]) -> tuple[int, list[float]]:
        """Assigns the newest checkpoint that is whole, and prints a line for each that is not.

        Args:
            variables: Variables of the model and of the optimizer, as they were written.

        Returns:
            The number of steps that are done, 0 if no checkpoint exists, and the sums.

        Raises:
            UsageError: If checkpoints exist and none is whole, or if they are another run's.
        """
        saved = self._by_step()
        for step, path in reversed(saved):
            if _digest(path) == _NAME.fullmatch(path.name)[2]:
                return step, self._load(variables, path)
            print(
                f"*** Checkpoint {path.name} is damaged, and left out: its content does not fit "
                "its name. ***",
                file=sys.stderr,
            )
        if saved:
            raise UsageError(
                f"--resume: no checkpoint in {self._folder} is whole "
                f"({', '.join(path.name for _, path in saved)}). Allowed: --overwrite to start "
                "anew."
            )
        if older := sorted(path.name for path in self._folder.glob("step-*.weights.h5")):
            raise UsageError(
                f"--resume: {self._folder / older[-1]} was written by an earlier version of "
                "keras_wn. Allowed: --overwrite to start anew, or the version that wrote it."
            )
        return 0, []

    def _load(self, variables, path):
        try:
            return self._loaded(variables, path)
        except (OSError, LookupError, TypeError, ValueError, RecursionError) as error:
            if isinstance(error, UsageError):
                raise
            # Its digest is right, but no run wrote its content.
            raise UsageError(
                f"--resume: {path} is no checkpoint ({type(error).__name__}: {error}). Allowed: "
                "this run's own, or --overwrite to start anew."
            ) from error

    def _loaded(self, variables, path):
        with h5py.File(path) as file:
            _check_links(file, path)
            found = json.loads(file.attrs["run"])
            differences = [
                f"{key} {found.get(key)!r}, not {value!r}"
                for key, value in self._run.items()
                if found.get(key) != value
            ]
            if differences:
                raise UsageError(
                    f"--resume: {path} is a checkpoint of another run: {'; '.join(differences)}. "
                    "Allowed: this run's own."
                )
            saved = [file[f"variables/{i}"] for i in range(len(file["variables"]))]
            if problem := _misfit(saved, variables):
                raise UsageError(
                    f"--resume: {path} does not fit this run's network ({problem}). Allowed: the "
                    "data set, with its number of classes, and the package that it was written "
                    "with."
                )
            values, sums = [dataset[()] for dataset in saved], file["sums"][()].tolist()
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return sums

    def _by_step(self):
        if not self._folder.is_dir():
            return []
        matches = [(_NAME.fullmatch(path.name), path) for path in self._folder.iterdir()]
        # Opening a pipe of such a name would wait forever.
        return sorted((int(match[1]), path) for match, path in matches if match and path.is_file())


def _check_links(file, path):
    """Refuses a file whose content is in another file, as HDF5 allows: it could be any file."""

    def check(name):
        is_own = isinstance(file.get(name, getlink=True), h5py.HardLink)
        item = file[name] if is_own else None
        if not is_own or (isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)):
            raise UsageError(
                f"--resume: {path} has {name} in another file. Allowed: a checkpoint that is whole."
            )
        return item

    check("sums")
    # Only a group that is the file's own may be looked into.
    for name in check("variables"):
        check(f"variables/{name}")


def _misfit(saved, variables):
    """The first difference between saved arrays and variables; an empty text if all agree."""
    if len(saved) != len(variables):
        return f"it has {len(saved)} variables, not {len(variables)}"
    for dataset, variable in zip(saved, variables, strict=True):
        if dataset.shape != tuple(variable.shape):
            return f"{dataset.attrs['path']} is {dataset.shape}, not {tuple(variable.shape)}"
    return ""


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
