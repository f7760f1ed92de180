"""Runs the tests that need environments of their own, on Keras' other backends above all."""

import os
import pathlib
import shutil
import sys

import nox

# uv links the files of its cache into each environment, which takes seconds where pip takes
# minutes. It does not read pip's variables.
nox.options.default_venv_backend = "uv|venv"
os.environ.setdefault("UV_FIND_LINKS", os.environ.get("PIP_FIND_LINKS", ""))
CONSTRAINTS = ("-c", "constraints.txt")
# The worker that is done first takes tests from the other, whose last ones may take minutes.
TWO_WORKERS = ("-n", "2", "--dist", "worksteal")
# The tests that start programs or a browser use no backend in their own processes, which the
# conftest imports for the others.
PROGRAMS = ("--noconftest",)
TFA = ("tensorflow==2.15.1", "tensorflow-addons==0.23.0")
# The tests that run on all backends. The doctests run on TensorFlow alone, because they show their
# results by functions of NumPy, which do not take PyTorch's tensors.
PARTS = (
    *(
        f"tests/{name}"
        for name in (
            "reparameterizations",
            "layers",
            "interop",
            "methods",
            "models",
            "benchmarks",
        )
    ),
    "tests/test_callbacks.py",
    "tests/test_constraints.py",
    "tests/test_data_dependent_init.py",
    "tests/test_initializers.py",
    "tests/test_model_summary.py",
    "tests/test_optimizers.py",
    "tests/test_registration.py",
)


@nox.session
@nox.parametrize("backend", ["jax", "torch"])
def backend(session, backend):
    """Runs all that needs no TensorFlow, with none installed."""
    # The layers run on every backend, and the runners on JAX as well.
    extra = {"jax": "train-jax", "torch": "torch"}[backend]
    on_jax = ("tests/runners/test_without_tensorflow.py", "tests/study/test_lanes.py")
    runners = on_jax if backend == "jax" else ()
    session.install("-e", f".[{extra}]", "tensorboard", "pytest", "pytest-xdist", *CONSTRAINTS)
    # Cards, networks, and the conversions of models and of files are the same code on every
    # backend. TensorFlow and PyTorch run their tests in a third of the time that JAX takes, which
    # compiles each layer of each network. Whole models are converted on JAX as well.
    spared = {"tests/methods", "tests/models", "tests/interop"} if backend == "jax" else set()
    parts = [part for part in PARTS if part not in spared]
    parts += ["tests/interop/test_whole_models.py"] if backend == "jax" else []
    # Most of JAX's time goes into compiling small programs that run once, and each process of the
    # tests compiles many that the other has compiled.
    fast = {
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "JAX_COMPILATION_CACHE_DIR": session.create_tmp(),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    fast = fast if backend == "jax" else {}
    session.run(
        "python",
        "-m",
        "pytest",
        *TWO_WORKERS,
        *parts,
        *runners,
        env={"KERAS_BACKEND": backend, **fast},
    )


@nox.session
def slow(session):
    """Several processes, TFDS' ImageNet builder, and training on JAX."""
    session.install("-e", ".[train,jax]", "pytest", "pytest-xdist", *CONSTRAINTS)
    # The longest ones are listed, to be made shorter.
    listed = ("--durations=20", "--durations-min=10")
    session.run("python", "-m", "pytest", *TWO_WORKERS, *listed, "-m", "slow", "tests")


@nox.session(default=False)
def tpu(session):
    """Compiles a training step for a TPU, without a TPU."""
    session.install("-e", ".[tpu]", "pytest", *CONSTRAINTS)
    session.run(
        "python",
        "-m",
        "pytest",
        "-m",
        "slow or not slow",
        "tests/benchmarks/test_tpu.py",
        env={"KERAS_BACKEND": "jax"},
    )


@nox.session(default=False)
def kill(session):
    """Runs that are killed ten times each: a single process, the chief of two, the other of two."""
    session.install("-e", ".[train]", "pytest", *CONSTRAINTS)
    session.run("python", "-m", "pytest", "-m", "kill", "tests/runners")


@nox.session(venv_backend="none")
def peers(session):
    """Keras' own tests of its layers on the weight-normalized ones, in nox's environment."""
    command = (sys.executable, "-m", "pytest", "-n", "2", "tests/peers")
    session.run(*command, env={"KERAS_WN_PEERS": "1"}, external=True)


@nox.session(python="3.11")
def tfa(session):
    """TensorFlow Addons' files, outputs and gradients, made in an environment of its own."""
    session.install(*TFA)
    folder = session.create_tmp()
    session.run("python", "tests/interop/tfa/make_files.py", folder)
    session.run(
        sys.executable,
        "-m",
        "pytest",
        *TWO_WORKERS,
        "tests/interop/tfa",
        env={"KERAS_WN_TFA_FILES": folder},
        external=True,
    )


@nox.session
def export(session):
    """Exports to ONNX, LiteRT and SavedModel, read by their own runtimes."""
    runtimes = ("onnx", "tf2onnx", "onnxruntime", "ai-edge-litert")
    session.install("-e", ".[train]", "pytest", "pytest-xdist", *runtimes, *CONSTRAINTS)
    session.run("python", "-m", "pytest", *TWO_WORKERS, "tests/interop/export")


@nox.session
def examples(session):
    """The programs of the documentation. `-- --write` makes their output that of the pages."""
    session.install("-e", ".[train]", "torch", "pytest", "pytest-xdist", *CONSTRAINTS)
    writes = {"KERAS_WN_WRITE_OUTPUT": "1"} if "--write" in session.posargs else {}
    listed = ("--durations=0", "--durations-min=5")
    session.run(
        "python",
        "-m",
        "pytest",
        *TWO_WORKERS,
        *listed,
        *PROGRAMS,
        "-m",
        "examples",
        "tests/docs",
        env={"KERAS_BACKEND": "tensorflow", **writes},
    )


# The oldest version of Keras that the layers work with, which setup.py names.
OLDEST_KERAS = "keras==3.12.0"


@nox.session
def oldest(session):
    """The layers and whole models with the oldest version of Keras, on PyTorch."""
    session.install("-e", ".[torch]", OLDEST_KERAS, "tensorboard", "pytest", "pytest-xdist")
    # The parts that touch Keras' own most.
    chapters = (
        *("weight_normalization", "reparameterized", "gains", "projection"),
        *("substitution", "sharing"),
    )
    found = [f"tests/layers/test_{name}.py" for name in chapters]
    parts = (*found, "tests/interop/test_whole_models.py", "tests/test_callbacks.py")
    session.run("python", "-m", "pytest", *TWO_WORKERS, *parts, env={"KERAS_BACKEND": "torch"})


BUILT = pathlib.Path(".nox/built").resolve()


@nox.session
def build(session):
    """Builds the sdist, and from it the wheel, which the sessions of `package` install."""
    shutil.rmtree(BUILT, ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build", "--outdir", str(BUILT), silent=True)


@nox.session(requires=["build"])
@nox.parametrize(
    ("python", "backend", "kind"),
    [("3.11", "jax", "*.tar.gz"), ("3.12", "torch", "*.whl"), ("3.13", "tensorflow", "*.whl")],
)
def package(session, backend, kind):
    """Installs the wheel and the sdist with one backend each, and runs a smoke test."""
    folder = pathlib.Path(session.create_tmp()).resolve()
    (built,) = BUILT.glob(kind)
    session.install(str(built), backend)
    smoke = pathlib.Path("tests/package/smoke.py").resolve()
    session.chdir(folder)
    session.run("python", str(smoke), env={"KERAS_BACKEND": backend})


@nox.session
def docs(session):
    """Builds the site, where a warning is an error, and opens its pages in a browser."""
    session.install("-e", ".[docs]", *CONSTRAINTS)
    site = session.create_tmp()
    # The theme prints an advertisement for its successor otherwise.
    quiet = {"NO_MKDOCS_2_WARNING": "1"}
    session.run("mkdocs", "build", "--strict", "--site-dir", site, env=quiet)
    command = (sys.executable, "-m", "pytest", "-n", "2", *PROGRAMS, "tests/docs/test_site.py")
    session.run(*command, env={"KERAS_WN_SITE": site}, external=True)


LAYER = ("runners/benchmark.py", "--what=layer", "--rounds=15")
INFERENCE = ("runners/benchmark.py", "--what=inference", "--rounds=15")
# Engine -> what it is installed from, and what is run there.
ENGINES = {
    "tensorflow": ((".[train]", *CONSTRAINTS), LAYER, (*LAYER, "--xla=on"), INFERENCE),
    "jax": ((".[jax]", *CONSTRAINTS), LAYER, INFERENCE),
    "torch": ((".[torch]", *CONSTRAINTS), LAYER, INFERENCE),
    "tfa": (TFA, ("tests/peers/tfa_overhead.py",)),
}


@nox.session(default=False, python="3.11")
@nox.parametrize("engine", list(ENGINES))
def overhead(session, engine):
    """Times the steps of weight-normalized layers. Nothing else may run meanwhile."""
    requirements, *runs = ENGINES[engine]
    session.install(*requirements)
    for arguments in runs:
        session.run("python", *arguments, env={} if engine == "tfa" else {"KERAS_BACKEND": engine})
