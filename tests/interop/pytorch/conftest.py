"""Leaves out the comparisons with PyTorch where it is not installed."""

import importlib.util

# Loading needs no PyTorch. The other tests measure by its modules, and run where it is installed.
need_torch = ["*_networks.py", "test_layers.py", "test_refused.py"]
collect_ignore_glob = [] if importlib.util.find_spec("torch") else need_torch
