"""The peak memory of a training step of each method, each in a process of its own."""

import dataclasses
import itertools
import json
import subprocess
import sys

import numpy as np

from keras_wn.benchmarks.progress import counted
from keras_wn.benchmarks.table import Column, Table
from keras_wn.training.errors import UsageError

_MEASURED = {
    "process": "Measured: the growth of the process' peak resident memory from before the network is built to after three steps.",
    "device": "Measured: the peak of the device's allocator over three steps.",
}
_COMPILED = "Compiled: XLA's own count of a step: variables, batch and temporary memory together."


def measure(request):
    """Builds every variant in a new process and runs a few steps of it there, in turns.

    Args:
        request: `Request`.

    Returns:
        List of one `Table`.

    Raises:
        UsageError: If a process fails, for example for want of memory.
    """
    answers = {str(variant): [] for variant in request.variants}
    for _, variant in counted(itertools.product(range(request.rounds), request.variants)):
        answers[str(variant)].append(_in_process(request, variant))
    rows = _rows(answers)
    columns = [Column("measured, MB", "bytes", _megabytes), Column("ratio", "ratio", ".3f")]
    columns += [Column("quartiles", None, lambda row: f"{row['low']:.3f} to {row['high']:.3f}")]
    notes = [_MEASURED[next(iter(answers.values()))[0]["kind"]]]
    if "compiled" in rows[0]:
        columns += [
            Column("compiled, MB", "compiled", _megabytes),
            Column("ratio", "compiled_ratio", ".3f"),
        ]
        notes.append(_COMPILED)
    title = f"peak memory of a training step: {request}; {request.rounds} rounds in turns"
    return [Table(title, rows, tuple(columns), tuple(notes))]


def _rows(answers):
    measured = {
        name: np.array([answer["bytes"] for answer in of_name], float)
        for name, of_name in answers.items()
    }
    baseline = next(iter(measured.values()))
    rows = []
    for name, values in measured.items():
        low, median, high = np.quantile(values / baseline, [0.25, 0.5, 0.75])
        rows.append(
            {
                "name": name,
                "bytes": float(np.median(values)),
                "ratio": median,
                "low": low,
                "high": high,
            }
        )
        compiled = answers[name][0].get("compiled")
        if compiled is not None:
            first = next(iter(answers.values()))[0]["compiled"]
            rows[-1] |= {"compiled": compiled, "compiled_ratio": compiled / first}
    return rows


def _in_process(request, variant):
    asked = json.dumps(
        {"request": dataclasses.asdict(request), "variant": dataclasses.asdict(variant)}
    )
    done = subprocess.run(
        [sys.executable, "-m", "keras_wn.benchmarks.memory_of_step"],
        input=asked,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise UsageError(
            f"--methods={variant}: the process that measures it failed ({last}). Allowed: a batch that fits."
        )
    return json.loads(done.stdout.splitlines()[-1])


def _megabytes(count):
    return f"{count / 1e6:.0f}"
