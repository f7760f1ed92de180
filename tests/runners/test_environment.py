"""Backends that a runner cannot use are said at once, before Keras is imported."""

import importlib.util
import json

import pytest

from tests.runners.processes import RUNNERS, finish

ALLOWED = {
    "imagenet": "tensorflow, jax",
    "cifar10": "tensorflow, jax",
    "compare": "tensorflow, jax",
    "benchmark": "tensorflow, jax, torch",
}


@pytest.mark.parametrize("name", ALLOWED)
@pytest.mark.parametrize("backend", ["foo", "openvino", "numpy", "../x", "torch"])
def test_a_backend_that_a_runner_does_not_take_is_one_line(name, backend):
    if backend in ALLOWED[name]:
        pytest.skip("This runner takes it.")
    code, out, err = finish(RUNNERS / f"{name}.py", KERAS_BACKEND=backend)
    message = f"{name}.py: error: KERAS_BACKEND={backend}: not allowed. Allowed: {ALLOWED[name]}.\n"
    assert (code, out, err) == (2, "", message)


def test_the_backend_of_keras_own_file_counts(tmp_path):
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "openvino"}))
    home = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": ""}
    code, _, err = finish(RUNNERS / "compare.py", **home)
    assert code == 2 and "KERAS_BACKEND=openvino: not allowed." in err


@pytest.mark.skipif(importlib.util.find_spec("jax") is not None, reason="JAX is installed.")
def test_a_backend_that_is_not_installed_is_said():
    code, _, err = finish(RUNNERS / "imagenet.py", fresh=True, KERAS_BACKEND="jax")
    assert code == 2
    assert err == (
        "imagenet.py: error: KERAS_BACKEND=jax: jax is not installed. Allowed: pip install jax.\n"
    )
