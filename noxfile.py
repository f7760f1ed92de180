"""Test environments that one virtual environment cannot hold: the layers on Keras' other backends."""

import nox

nox.options.default_venv_backend = "venv"
CONSTRAINTS = ("-c", "constraints.txt")
# All but data/, training/ and the runners, which need TensorFlow: code with its doctests, and tests.
FOLDERS = ("reparameterizations", "layers", "initializers", "methods", "models")
PARTS = (
    *(f"{root}/{name}" for root in ("keras_wn", "tests") for name in FOLDERS),
    "tests/test_registration.py",
    "tests/test_constraints.py",
)


@nox.session
@nox.parametrize("backend", ["jax", "torch"])
def backend(session, backend):
    """What needs no TensorFlow, with none installed."""
    session.install("-e", f".[{backend}]", "pytest", *CONSTRAINTS)
    session.run("python", "-m", "pytest", *PARTS, env={"KERAS_BACKEND": backend})
