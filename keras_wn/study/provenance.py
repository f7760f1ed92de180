"""Which process, of which versions and on which machine, a trial's figures come from."""

import datetime
import os
import platform
import subprocess
import uuid
from importlib import metadata

import keras

_PACKAGES = ("keras", "tensorflow", "jax", "numpy", "scipy", "scikit-learn")


def of_process(command, threads):
    """The line of the log on this process.

    Args:
        command: Text, the command line that started the study.
        threads: Threads that an operation of its trials may use.

    Returns:
        Dict.
    """
    import keras_wn

    return {
        "kind": "process",
        "id": f"p{uuid.uuid4().hex[:8]}",
        "command": command,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {
            "keras_wn": keras_wn.__version__,
            "python": platform.python_version(),
            **_versions(),
        },
        "backend": keras.backend.backend(),
        "machine": {
            "platform": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": threads,
        },
        "commit": _commit(os.path.dirname(keras_wn.__file__)),
    }


def _versions():
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
        return names[0] if names else platform.processor()
    except OSError:
        return platform.processor()


def _commit(folder):
    """The commit of a checkout, marked where files differ from it; None outside of one."""
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
