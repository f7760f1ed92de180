"""Leaves out the doctests that cannot be collected without JAX, which `test` does not install."""

import importlib.util

collect_ignore = []
if importlib.util.find_spec("jax") is None:
    collect_ignore.append("keras_wn/training/step_jax.py")
