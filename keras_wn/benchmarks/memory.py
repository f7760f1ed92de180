"""Measures the peak memory of each method's training step.

Each measurement runs in a new process, which is this file started as a program. In a process that
has measured another method before, the peak could be that method's.
"""

import dataclasses
import json
import resource
import subprocess
import sys
from typing import Any

import keras
import numpy as np

from keras_wn.benchmarks import step
from keras_wn.benchmarks.workload import Variant, Workload
from keras_wn.errors import UsageError
from keras_wn.training.text_table import QUARTILES, RATIO, Column, Table
from keras_wn.training.timing import compared, progress

_STEPS = 3
_MEASURED = {
    "process": "Measured: the growth of the process' peak resident memory from before the network "
    "is built to after three steps.",
    "device": "Measured: the peak of the device's allocator over three steps.",
}
_COMPILED = "Compiled: XLA's own count of a step: variables, batch and temporary memory together."


def measure(workload: Workload) -> list[Table]:
    """Runs a few steps of every variant, each in a new process, in turns.

    Args:
        workload: `Workload`.

    Returns:
        List of one `Table`.

    Raises:
        UsageError: If a process fails, for example because its memory does not suffice.
    """
    answers: dict[Variant, list[dict[str, Any]]] = {variant: [] for variant in workload.variants}
    turns = list(workload.variants) * workload.rounds
    with progress("Measurement", len(turns)) as show:
        for done, variant in enumerate(turns, start=1):
            answers[variant].append(_measured_in_new_process(workload, variant))
            show(done)
    rows = _rows(answers)
    columns = [Column("measured, MB", "bytes", _megabytes), RATIO, QUARTILES]
    notes = [_MEASURED[answers[workload.variants[0]][0]["kind"]]]
    if "compiled" in rows[0]:
        columns += [
            Column("compiled, MB", "compiled", _megabytes),
            Column("ratio", "compiled_ratio", ".3f"),
        ]
        notes.append(_COMPILED)
    title = f"peak memory of a training step: {workload}; {workload.rounds} rounds in turns"
    return [Table(title, rows, columns, notes)]


def _rows(answers):
    measured = {
        variant: np.array([answer["bytes"] for answer in own], float)
        for variant, own in answers.items()
    }
    baseline, *_ = answers
    rows = []
    for variant, values in measured.items():
        ratio = compared(values, measured[baseline])
        rows.append({"name": str(variant), "bytes": float(np.median(values)), **ratio})
        # The compiler counts the same in every round.
        compiled = answers[variant][0].get("compiled")
        if compiled is not None:
            first = answers[baseline][0]["compiled"]
            rows[-1] |= {"compiled": compiled, "compiled_ratio": compiled / first}
    return rows


def _megabytes(count):
    return f"{count / 1e6:.0f}"


def _measured_in_new_process(workload, variant) -> dict[str, Any]:
    """The answer of `_answer` in a new process."""
    asked = dataclasses.asdict(dataclasses.replace(workload, variants=(variant,)))
    done = subprocess.run(
        [sys.executable, "-m", "keras_wn.benchmarks.memory"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise UsageError(
            f"--methods={variant}: the process that measures it failed ({last}). "
            "Allowed: a batch that fits."
        )
    return json.loads(done.stdout.splitlines()[-1])


# The new process.


def _answer(workload, variant) -> dict[str, Any]:
    """Runs the steps in this process.

    Returns:
        Dict: `bytes`, and their `kind`, a key of `_MEASURED`; on JAX also `compiled`, XLA's count.
    """
    before = _peak_of_process()
    answer = {}
    if keras.backend.backend() == "jax":
        answer["compiled"] = _compiled_bytes(workload, variant)
    run = step.training_step(workload, variant)
    for _ in range(_STEPS):
        run()
    on_device = _peak_of_device()
    if on_device is None:
        return answer | {"kind": "process", "bytes": _peak_of_process() - before}
    return answer | {"kind": "device", "bytes": on_device}


def _compiled_bytes(workload, variant):
    # The model is freed on return, so that it does not add to the memory of the following steps.
    model, batch = step.model_to_train(workload, variant), step.random_batch(workload)
    analysis = step.lower(model, batch).compile().memory_analysis()
    return analysis.argument_size_in_bytes + analysis.temp_size_in_bytes


def _peak_of_process():
    # In kilobytes on Linux, in bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def _peak_of_device():
    """Bytes on the first GPU; None without one."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if backend == "torch":
        import torch

        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] if gpus else None


if __name__ == "__main__":
    fields = json.loads(sys.stdin.read())
    (variant_fields,) = fields["variants"]
    variant = Variant(**variant_fields)
    print(json.dumps(_answer(Workload(**fields | {"variants": (variant,)}), variant)))
