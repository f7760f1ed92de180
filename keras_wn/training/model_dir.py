"""Names the files in the folder of a run, and refuses the folder of another run."""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from keras_wn.data.splits import Splits
from keras_wn.errors import UsageError
from keras_wn.training import files, lock
from keras_wn.training.config import TrainConfig
from keras_wn.training.flag_fields import shortened

# Flags that may differ between a run and its continuation.
_NOT_COMPARED = ("model_dir", "checkpoint_steps", "profile_steps", "worker_timeout")

# Seconds until another machine sees a new file in a folder that is shared over a network.
_SHOWN_AFTER = 10.0
# Characters of the longest name that a file may have.
_LONGEST_NAME = 255


def check_flags(config: TrainConfig, resume: bool, overwrite: bool, signal_only: bool) -> None:
    """Refuses combinations of the flags that say what to do with the folder of a run."""
    if signal_only and (resume or overwrite):
        raise UsageError(
            "--signal_report trains nothing. Allowed: without --resume and --overwrite."
        )
    for name, is_asked in (("resume", resume), ("overwrite", overwrite)):
        if is_asked and config.model_dir is None:
            raise UsageError(f"--{name} needs the folder of the run. Allowed: with --model_dir.")


class ModelDir:
    """Paths of a run's files, and the rule that one configuration never writes over another's.

    Args:
        path: Folder; None for a new one under `runs/`, named after the configuration and the time.
        config: Resolved `TrainConfig`.
        workers: Processes that train together.

    Raises:
        UsageError: If several processes have no path.
    """

    def __init__(self, path: str | os.PathLike | None, config: TrainConfig, workers: int = 1):
        if path is None and workers > 1:
            raise UsageError(
                "--model_dir: needed with several workers. Allowed: a folder that all of them see."
            )
        if path is None:
            now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
            path = f"runs/{config.norm}-{config.model}-{config.dataset}-seed{config.seed}-{now}"
        self.path = pathlib.Path(path)
        # The flag as messages quote it.
        self._flag = f"--model_dir={shortened(path)}"
        self._lock = self.path / "run.lock"
        self.config_json = self.path / "config.json"
        self.metrics_jsonl = self.path / "metrics.jsonl"
        self.result_json = self.path / "result.json"
        self.model_keras = self.path / "model.keras"
        self.best_keras = self.path / "best.keras"
        self.signal_json = self.path / "signal.json"
        self.signal_png = self.path / "signal.png"
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self._flags = dataclasses.asdict(config)

    @contextlib.contextmanager
    def taken(self, resume: bool, overwrite: bool, splits: Splits) -> Iterator[None]:
        """Scope in which the folder is this process' alone.

        Args:
            resume: Whether to continue the run in the folder, if it holds one.
            overwrite: Whether to replace it.
            splits: The data, which must be those that a continued run began with.

        Raises:
            UsageError: If the folder holds another run, if it cannot be written, or if another
                process writes in it.
        """
        try:
            self.check(resume, overwrite, splits)
        except OSError as error:
            raise UsageError(
                f"{self._flag}: cannot be used ({error.strerror}). Allowed: a folder "
                "that you may write to."
            ) from error
        with lock.locked(self._lock, self._flag):
            # Another process may have had the folder in between.
            self.check(resume, overwrite, splits)
            for folder in (self.path, self.checkpoints):
                files.remove_leftovers(folder)
            yield

    def check(self, resume: bool, overwrite: bool, splits: Splits | None = None) -> None:
        """Refuses a folder that holds another run, or that cannot be written. See `taken`."""
        if resume and overwrite:
            raise UsageError("--resume and --overwrite exclude each other. Allowed: one of them.")
        if overwrite and any(p.exists() for p in self._own_paths()):
            self._recorded_run()  # Refuse to replace a folder that is not a run's.
        if self.config_json.exists() and not overwrite:
            self._check_same_run(resume)
            if splits is not None:
                self._check_same_data(splits)
        elif not overwrite and any(p.exists() for p in self._own_paths()):
            raise UsageError(
                f"{self._flag}: holds files of a run's names without its config.json. "
                "Allowed: another folder."
            )
        self._check_writable()

    def token(self, processes: int) -> str:
        """The content of the lock file, by which processes tell that they share the folder.

        Args:
            processes: Number of processes. If there are several, waits a while for the file, which
                a folder that is shared over a network may show late.
        """
        ends = time.monotonic() + _SHOWN_AFTER
        while processes > 1 and not self._lock.exists() and time.monotonic() < ends:
            time.sleep(0.1)
        try:
            return self._lock.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return f"no lock file, {error.strerror}"

    def check_space(self, parameters: int) -> None:
        """Refuses a disk that the run's files would fill.

        Args:
            parameters: Number of the model's parameters.

        Raises:
            UsageError: With the space that is needed and that is free.
        """
        # The last and the best model, and weights with momentum in three checkpoints, of which
        # one is being written, at 4 bytes a number.
        needed = parameters * 4 * (2 + 2 * 3)
        # The files of this run, or of the run that it replaces, make room for the new ones.
        own = sum(
            f.stat().st_size for p in self._own_paths() for f in [p, *p.rglob("*")] if f.is_file()
        )
        free = shutil.disk_usage(self.path).free + own
        if free < needed:
            raise UsageError(
                f"{self._flag}: {free / 2**20:.0f} MiB are free, and the run's files "
                f"need about {needed / 2**20:.0f} MiB. "
                "Allowed: a folder on a disk with more room."
            )

    def start(self, record: dict, overwrite: bool) -> None:
        """Writes `config.json`, by which the folder is a run's. Removes another run if asked.

        Wherever a process is killed, `config.json` is that of the run whose files the folder holds.
        The result is removed first: without it, and then without checkpoints, the old run is not
        over.
        """
        if overwrite:
            first = [self.result_json, self.checkpoints]
            for path in [*first, *(set(self._own_paths()) - {*first, self.config_json})]:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(
                    missing_ok=True
                )
        files.write_json(self.config_json, record)
        self.checkpoints.mkdir(exist_ok=True)

    def _own_paths(self):
        return [
            value
            for value in vars(self).values()
            if isinstance(value, pathlib.Path) and value not in (self.path, self._lock)
        ]

    def _recorded_run(self) -> dict[str, Any]:
        """The record of the run in the folder."""
        try:
            record = json.loads(self.config_json.read_text(encoding="utf-8"))
            return {**record, "flags": dict(record["flags"])}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(
                f"{self._flag}: its config.json is not a run's "
                f"({type(error).__name__}: {error}). "
                "Allowed: another folder."
            ) from None

    def _check_same_run(self, resume):
        # An earlier version had fewer flags. It did what the defaults of the others say.
        defaults = {f.name: f.default for f in dataclasses.fields(TrainConfig)}
        flags = {**defaults, **self._recorded_run()["flags"]}
        differences = [
            f"--{name}={self._flags.get(name)} (in the folder: {flags.get(name)})"
            for name in sorted(self._flags.keys() | flags.keys())
            if name not in _NOT_COMPARED and self._flags.get(name) != flags.get(name)
        ]
        if differences:
            raise UsageError(
                f"{self._flag}: holds a run of another configuration: "
                f"{', '.join(differences)}. "
                "Allowed: another folder, the same flags with --resume, or --overwrite."
            )
        if not resume:
            raise UsageError(
                f"{self._flag}: already holds this run. Allowed: another folder, "
                "--resume to continue it, or --overwrite."
            )

    def _check_same_data(self, splits):
        recorded = self._recorded_run().get("data")
        # Runs of earlier versions have no digest.
        if not isinstance(recorded, dict) or recorded.get("digest") in (None, splits.digest):
            return
        counts = [len(getattr(splits, name)) for name in ("train", "validation", "test")]
        raise UsageError(
            f"{self._flag}: the run began with other images than it has now "
            f"(training, validation and test images then: {_counts(recorded)}; now: "
            f"{', '.join(map(str, counts))}). Allowed: the same files, or --overwrite to start "
            "anew."
        )

    def _check_writable(self):
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # The paths of the files in the folder must not be too long either.
            with contextlib.suppress(FileNotFoundError):
                os.lstat(self.checkpoints / ("x" * _LONGEST_NAME))
            with tempfile.TemporaryFile(dir=self.path) as probe:
                probe.write(bytes(4096))
                probe.flush()
                os.fsync(probe.fileno())
        except (OSError, RecursionError) as error:
            reason = "too many folders" if isinstance(error, RecursionError) else error.strerror
            raise UsageError(
                f"{self._flag}: cannot be written ({reason}). Allowed: a folder that you may write "
                "to."
            ) from None


def _counts(data):
    images = data.get("images")
    return ", ".join(map(str, images.values())) if isinstance(images, dict) else "unknown"
