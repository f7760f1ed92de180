"""Records where a run's metrics come from: flags, versions, data, machine."""

import dataclasses
import hashlib
import os
import pathlib
import platform
import resource
import subprocess
import sys
from importlib import metadata
from typing import Any

import keras

import keras_wn
from keras_wn.data import datasets
from keras_wn.data.splits import Splits
from keras_wn.training.config import TrainConfig

_PACKAGES = ("keras", "tensorflow", "jax", "numpy", "scipy", "scikit-learn")


def run_record(config: TrainConfig, splits: Splits, device_count: int = 1) -> dict[str, Any]:
    """The content of `config.json`.

    Args:
        config: Resolved `TrainConfig`.
        splits: `Splits`.
        device_count: Integer, devices that a batch is divided among.
    """
    return {
        "flags": dataclasses.asdict(config),
        "command": " ".join(sys.argv),
        **environment(),
        "data": _data(splits),
        "replicas": device_count,
        "bn_semantics": _bn_semantics(config, device_count),
        "method": {
            name: getattr(config.method, name)
            for name in ("title", "scale_of_v", "decay_on", "ours", "references")
        },
    }


def result_record(
    config: TrainConfig, splits: Splits, device_count: int, wall_seconds: float
) -> dict[str, Any]:
    """The content of `result.json` apart from the metrics.

    Args:
        config: Resolved `TrainConfig`.
        splits: `Splits`.
        device_count: Integer, devices that a batch is divided among.
        wall_seconds: Seconds from building the network to now, in this process. A resumed run
            counts its last part alone.
    """
    # Linux counts in KiB, macOS in bytes.
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    return {
        "data": _data(splits),
        "corrupt_images": splits.corrupt.names,
        "bn_semantics": _bn_semantics(config, device_count),
        "wall_seconds": round(wall_seconds, 1),
        "peak_memory_gib": round(peak_bytes / 2**30, 2),
    }


def code() -> dict[str, str]:
    """Digest of this package's code, and the versions of the libraries that a step depends on."""
    folder = pathlib.Path(keras_wn.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    versions = environment()["versions"]
    return {
        "the code of keras_wn": digest.hexdigest()[:16],
        **{f"the version of {name}": versions.get(name, "none") for name in _PACKAGES[:4]},
    }


def environment() -> dict[str, Any]:
    """The versions of libraries, the backend and the machine of this process."""
    versions = {"keras_wn": keras_wn.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "backend": keras.backend.backend(),
        "machine": {
            "platform": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
        },
    }


def _data(splits):
    counts = {name: len(getattr(splits, name)) for name in ("train", "validation", "test")}
    return {
        "name": splits.name,
        "description": datasets.description(splits),
        "digest": splits.digest,
        "images": counts,
        "classes": splits.classes,
    }


def _bn_semantics(config, device_count):
    if not config.method.batch_statistics:
        return None
    if config.statistics_batch:
        return f"statistics of {config.statistics_batch} images; moving averages at inference"
    if device_count > 1 and keras.backend.backend() == "tensorflow":
        part = config.batch_size // device_count
        return (
            f"statistics of {part} images, each of {device_count} devices' own; "
            "at inference moving averages, averaged over the devices"
        )
    where = "one device" if device_count == 1 else f"{device_count} devices together"
    return (
        f"statistics of the whole batch of {config.batch_size} on {where}; "
        "moving averages at inference"
    )


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
        return names[0] if names else platform.processor()
    except OSError:
        return platform.processor()


def commit() -> str | None:
    """The commit of this package, marked where files differ from it; None outside of a checkout."""
    folder = os.path.dirname(keras_wn.__file__)
    try:
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+changes" if changes else "")


def _git(folder, *arguments):
    command = ["git", "-C", folder, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=10, check=True
    ).stdout.strip()
