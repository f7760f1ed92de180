"""Leaves out the exports where their libraries are not installed."""

import importlib.util

# These tests run where the exporters are installed: `nox -s export`.
collect_ignore_glob = [] if importlib.util.find_spec("tf2onnx") else ["*.py"]
