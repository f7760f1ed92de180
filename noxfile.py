"""Test environments that one virtual environment cannot hold: the layers on Keras' other backends."""

import sys

import nox

nox.options.default_venv_backend = "venv"
CONSTRAINTS = ("-c", "constraints.txt")
# All but data/, training/ and the runners, which need TensorFlow. The doctests run on TensorFlow alone: NumPy's functions, which
# they use to show results, do not take PyTorch's tensors.
PARTS = (
    *(f"tests/{name}" for name in ("reparameterizations", "layers", "initializers", "interop", "methods", "models")),
    "tests/test_registration.py",
    "tests/test_constraints.py",
)


@nox.session
@nox.parametrize("backend", ["jax", "torch"])
def backend(session, backend):
    """What needs no TensorFlow, with none installed."""
    session.install("-e", f".[{backend}]", "pytest", *CONSTRAINTS)
    session.run("python", "-m", "pytest", *PARTS, env={"KERAS_BACKEND": backend})


@nox.session(python="3.11")
def tfa(session):
    """Files, outputs and gradients of TensorFlow Addons, made in its own environment and read in the one that runs nox."""
    session.install("tensorflow==2.15.1", "tensorflow-addons==0.23.0")
    folder = session.create_tmp()
    session.run("python", "tests/interop/tfa/make_files.py", folder)
    session.run(sys.executable, "-m", "pytest", "tests/interop/tfa", env={"KERAS_WN_TFA_FILES": folder}, external=True)


@nox.session
def export(session):
    """Exports to ONNX, LiteRT and SavedModel, read by their own runtimes."""
    session.install("-e", ".[train]", "pytest", "onnx", "tf2onnx", "onnxruntime", "ai-edge-litert", *CONSTRAINTS)
    session.run("python", "-m", "pytest", "tests/interop/export")
