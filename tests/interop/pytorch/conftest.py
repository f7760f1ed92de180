import importlib.util

# These tests run where PyTorch is installed: by nox.
collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["*.py"]
