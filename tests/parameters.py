"""Parameters of tests, of which some are left to `nox -s slow`."""

import pytest

from keras_wn import methods


def slow(*values):
    """Parameters of a test that only `nox -s slow` runs with them."""
    return pytest.param(*values, marks=pytest.mark.slow)


def each_method():
    """Names of all methods; those beyond the paper's study are slow."""
    return [name if name in methods.PAPER else slow(name) for name in methods.names()]
