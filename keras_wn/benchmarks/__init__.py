"""Measures speed and memory, each as a comparison in one run, for `runners/benchmark.py`."""
