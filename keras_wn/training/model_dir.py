"""Names the files in the folder of a run, and refuses the folder of another run."""

import dataclasses
import datetime
import json
import os
import pathlib
import shutil
import tempfile

from keras_wn.training import files
from keras_wn.training.errors import UsageError

# Flags that may differ between a run and its continuation.
_NOT_COMPARED = ("model_dir", "checkpoint_steps", "profile_steps", "worker_timeout")


class ModelDir:
    """Paths of a run's files, and the rule that one configuration never writes over another's.

    Args:
        path: Folder; None for a new one under `runs/`, named after the configuration and the time.
        config: Resolved `TrainConfig`.
    """

    def __init__(self, path, config):
        if path is None:
            now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
            path = f"runs/{config.norm}-{config.model}-{config.dataset}-seed{config.seed}-{now}"
        self.path = pathlib.Path(path)
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

    def check(self, resume: bool, overwrite: bool) -> None:
        """Refuses a folder that holds another run, or that cannot be written.

        Args:
            resume: Whether to continue the run in the folder, if it holds one.
            overwrite: Whether to replace it.

        Raises:
            UsageError: With the difference, if there is one.
        """
        if resume and overwrite:
            raise UsageError("--resume and --overwrite exclude each other. Allowed: one of them.")
        if overwrite and any(p.exists() for p in self._own_paths()):
            self._flags_there()  # What is not a run of ours is not replaced.
        if self.config_json.exists() and not overwrite:
            self._check_same_run(resume)
        elif not overwrite and any(p.exists() for p in self._own_paths()):
            raise UsageError(
                f"--model_dir={self.path}: holds files of a run's names without its config.json. "
                "Allowed: another folder."
            )
        self._check_writable()

    def check_space(self, parameters: int) -> None:
        """Refuses a disk that the run's files would fill.

        Args:
            parameters: Number of the model's parameters.

        Raises:
            UsageError: With the space that is needed and that is free.
        """
        # The last and the best model, and weights with momentum in two checkpoints and in a third
        # that is being written, at 4 bytes a number.
        needed = parameters * 4 * (2 + 2 * 3)
        # The files of this run, or of the run that it replaces, make room for the new ones.
        own = sum(
            f.stat().st_size for p in self._own_paths() for f in [p, *p.rglob("*")] if f.is_file()
        )
        free = shutil.disk_usage(self.path).free + own
        if free < needed:
            raise UsageError(
                f"--model_dir={self.path}: {free / 2**20:.0f} MiB are free, and the run's files "
                f"need about {needed / 2**20:.0f} MiB. "
                "Allowed: a folder on a disk with more room."
            )

    def start(self, record: dict, overwrite: bool) -> None:
        """Takes the folder for a new run and writes `config.json`. Removes another run if asked."""
        if overwrite:
            for path in self._own_paths():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(
                    missing_ok=True
                )
        self.checkpoints.mkdir(exist_ok=True)
        files.write_json(self.config_json, record)

    def _own_paths(self):
        return [
            value
            for value in vars(self).values()
            if isinstance(value, pathlib.Path) and value != self.path
        ]

    def _flags_there(self):
        """Flags of the run that lies there."""
        try:
            record = json.loads(self.config_json.read_text(encoding="utf-8"))
            return dict(record["flags"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"--model_dir={self.path}: its config.json is not a run's "
                f"({type(error).__name__}: {error}). "
                "Allowed: another folder."
            ) from None

    def _check_same_run(self, resume):
        flags = self._flags_there()
        differences = [
            f"--{name}={self._flags.get(name)} (there: {flags.get(name)})"
            for name in sorted(self._flags.keys() | flags.keys())
            if name not in _NOT_COMPARED and self._flags.get(name) != flags.get(name)
        ]
        if differences:
            raise UsageError(
                f"--model_dir={self.path}: holds a run of another configuration: "
                f"{', '.join(differences)}. "
                "Allowed: another folder, the same flags with --resume, or --overwrite."
            )
        if not resume:
            raise UsageError(
                f"--model_dir={self.path}: already holds this run. Allowed: another folder, "
                "--resume to continue it, or --overwrite."
            )

    def _check_writable(self):
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path) as probe:
                probe.write(bytes(4096))
                probe.flush()
                os.fsync(probe.fileno())
        except OSError as error:
            raise UsageError(
                f"--model_dir={self.path}: cannot be written ({error.strerror}). Allowed: a "
                "folder that you may write to."
            ) from None
