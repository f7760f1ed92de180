"""Measures what importing this package, and starting a run, add to plain Keras.

Each measurement runs in a new process. For the first training step it is this file, started as a
program.
"""

import dataclasses
import subprocess
import sys
import tempfile
import time

import keras

from keras_wn.benchmarks.request import Request, Variant
from keras_wn.benchmarks.runner import new_run
from keras_wn.benchmarks.table import Column, Table
from keras_wn.data import digits
from keras_wn.errors import UsageError
from keras_wn.training import loop, schedules
from keras_wn.training.timing import interleaved

# Times both imports in one process, and prints the seconds of one of them.
_IMPORT = (
    "import time; a = time.perf_counter(); import keras; b = time.perf_counter(); "
    "import keras_wn; c = time.perf_counter(); print({})"
)
_MILLISECONDS = Column("median, ms", "seconds", lambda seconds: f"{1e3 * seconds:.1f}")


def measure(request: Request) -> list[Table]:
    """Times imports, and first training steps in plain Keras and in the runner, in turns.

    Args:
        request: `Request`.

    Returns:
        List of `Table`: one of the imports, and one for each variant.
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
    rows = interleaved(actions, rounds).rows()
    return Table(f"imports; {rounds} rounds in turns", rows, (_MILLISECONDS,))


def _first_steps(request, variant):
    sizes = (str(request.batch_size), str(request.image_size))
    arguments = (str(variant), request.model, *sizes)
    actions = {
        kind: lambda kind=kind: _seconds("-m", "keras_wn.benchmarks.startup", kind, *arguments)
        for kind in _FIRST_STEPS
    }
    title = (
        f"first training step, from the data to its end: {variant}, {request}; "
        f"{request.rounds} rounds in turns"
    )
    # Each process starts anew, and the imports before have read the libraries' files.
    return Table(title, interleaved(actions, request.rounds, warm_up=0).rows())


def _seconds(*arguments):
    """Runs Python with the arguments, and returns the number that it prints last."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise UsageError(
            f"--what=startup: the process that is timed failed ({last}). Allowed: what trains."
        )
    return float(done.stdout.splitlines()[-1])


# The new process. Both functions return the seconds from loading the data to the end of a step.


def _first_step_in_keras(request, variant):
    start, clock = time.perf_counter(), _Clock()
    splits = digits.load(request.image_size)
    batches = splits.train.training_batches(request.batch_size, splits.classes, seed=0)
    model = request.network(variant, splits.classes)
    model.compile(
        optimizer=keras.optimizers.SGD(
            schedules.build("cosine", peak=0.01, total_steps=10, warmup_steps=0), momentum=0.9
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.CategoricalAccuracy("top1"),
            keras.metrics.TopKCategoricalAccuracy(5, "top5"),
        ],
    )
    model.fit(iter(batches), steps_per_epoch=1, callbacks=[clock], verbose=0, shuffle=False)
    return clock.at_end - start


class _Clock(keras.callbacks.Callback):
    """Notes when the step ended, because `fit` does more work after an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        self.at_end = time.perf_counter()


def _first_step_in_runner(request, variant):
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run = new_run(folder, request.config(variant, model_dir=folder), request.image_size)
        plan = dataclasses.replace(run.plan, rates=run.plan.rates[:1])
        batches = loop.training_batches(run.config, run.splits, 0)
        with run.shown(0):
            loop.train_steps(run.step, batches, plan, run, run.stop)
        return run.step_ends[-1] - start


_FIRST_STEPS = {"plain Keras": _first_step_in_keras, "runner": _first_step_in_runner}


def _print_first_step(kind, variant, model, batch_size, image_size):
    variant = Variant.parse(variant)
    request = Request((variant,), model, int(batch_size), int(image_size), rounds=1)
    print(_FIRST_STEPS[kind](request, variant))


if __name__ == "__main__":
    _print_first_step(*sys.argv[1:])
