"""Prepares the environment of a runner, before Keras is imported: `environment.prepare(...)`."""

import importlib.util
import json
import os
import pathlib
import sys


def prepare(*backends: str) -> None:
    """Sets TensorFlow's variables, and ends the process if Keras' backend cannot be used.

    Args:
        *backends: The backends of Keras that the runner takes.
    """
    # TensorFlow's messages on devices and processors would hide the run's own. Set it to 0 to see
    # them.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow turns oneDNN on by itself on newer processors alone. On others, the gradients of
    # convolutions take up to 50 times as long without it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    backend = _backend()
    if backend not in backends:
        _end(f"KERAS_BACKEND={backend}: not allowed. Allowed: {', '.join(backends)}.")
    if importlib.util.find_spec(backend) is None:
        _end(
            f"KERAS_BACKEND={backend}: {backend} is not installed. Allowed: pip install {backend}."
        )


def _backend():
    """The backend that Keras will take: that of the environment, or of its own file."""
    if backend := os.environ.get("KERAS_BACKEND"):
        return backend
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    try:
        return json.loads(pathlib.Path(home, "keras.json").read_text())["backend"]
    except (OSError, ValueError, LookupError, TypeError):
        return "tensorflow"


def _end(message):
    print(f"{os.path.basename(sys.argv[0])}: error: {message}", file=sys.stderr)
    sys.exit(2)
