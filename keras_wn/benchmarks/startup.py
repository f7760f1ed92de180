"""What importing this package and starting a run add to plain Keras."""

import subprocess
import sys

from keras_wn.benchmarks.table import Column, Table
from keras_wn.benchmarks.timing import interleaved
from keras_wn.training.errors import UsageError

# Each import's own seconds, in one process.
_IMPORT = (
    "import time; a = time.perf_counter(); import keras; b = time.perf_counter(); import keras_wn; c = time.perf_counter(); "
    "print({})"
)
_MILLISECONDS = Column("median, ms", "seconds", lambda seconds: f"{1e3 * seconds:.1f}")


def measure(request):
    """Times imports, and first training steps through plain Keras and through the runner, each in a new process, in turns.

    Args:
        request: `Request`.

    Returns:
        List of `Table`.
    """
    return [
        _imports(request.rounds),
        *(_first_steps(request, variant) for variant in request.variants),
    ]


def _imports(rounds):
    actions = {
        "import keras": lambda: _seconds("-c", _IMPORT.format("b - a")),
        "import keras_wn after it": lambda: _seconds("-c", _IMPORT.format("c - b")),
    }
    return Table(
        f"imports; {rounds} rounds in turns", interleaved(actions, rounds).rows(), (_MILLISECONDS,)
    )


def _first_steps(request, variant):
    sizes = (str(request.batch_size), str(request.image_size))
    actions = {
        kind: lambda kind=kind: _seconds(
            "-m", "keras_wn.benchmarks.first_step", kind, str(variant), request.model, *sizes
        )
        for kind in ("plain Keras", "runner")
    }
    title = f"first training step, from the data to its end: {variant}, {request}; {request.rounds} rounds in turns"
    return Table(title, interleaved(actions, request.rounds).rows())


def _seconds(*arguments):
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise UsageError(
            f"--what=startup: the process that is timed failed ({last}). Allowed: what trains."
        )
    return float(done.stdout.splitlines()[-1])
