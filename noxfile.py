"""Test environments that one virtual environment cannot hold: the layers on Keras' other backends."""

import nox

nox.options.default_venv_backend = "venv"
CONSTRAINTS = ("-c", "constraints.txt")


@nox.session
@nox.parametrize("backend", ["jax", "torch"])
def backend(session, backend):
    """What needs no TensorFlow, with none installed."""
    session.install("-e", f".[{backend}]", "pytest", *CONSTRAINTS)
    session.run("python", "-m", "pytest", "tests/layers", "tests/reparameterizations", env={"KERAS_BACKEND": backend})
