"""Leaves out what cannot be collected: programs, and doctests that need JAX where it is missing."""

import importlib.util

# The examples are programs, which tests/docs runs. The other file is for the site's generator.
collect_ignore_glob = ["docs/*.py", "docs/examples/*.py"]
collect_ignore = []
if importlib.util.find_spec("jax") is None:
    collect_ignore += ["keras_wn/training/step_jax.py", "keras_wn/study/lanes.py"]
