"""Runs trials in a process of their own: JSON lines in, JSON lines out.

`workers.Worker` starts it, as `python -m keras_wn.study.worker`.
"""

import datetime
import json
import os
import pathlib
import sys
import traceback
import uuid


def main() -> None:
    # Standard output is kept for the answers. Everything else that is printed goes to errors.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    start = json.loads(sys.stdin.readline())
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Before TensorFlow's first operation.
        tf.config.threading.set_intra_op_parallelism_threads(start["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(start["threads"])

    from keras_wn.errors import UsageError
    from keras_wn.study import fields, records, step_timing, trial
    from keras_wn.study.specs import TrialSpec, empty_record
    from keras_wn.training import devices

    def answer(record):
        answers.write(json.dumps(record) + "\n")
        answers.flush()

    def run(trials, specs):
        if specs[0].together:
            return step_timing.time_steps(protocol, specs)
        if len(specs) == 1:
            return [trials.run(specs[0])]
        # It needs JAX.
        from keras_wn.study import lanes

        return lanes.run(trials, specs)

    protocol = records.protocol_of(start["protocol"])
    try:
        trials = trial.Trials(protocol, pathlib.Path(start["folder"]))
    except UsageError as error:
        answer({"error": str(error)})
        return
    answer(
        {
            "process": process_record(start["command"], start["threads"]),
            "data": trials.data,
            "gpus": devices.gpu_count(),
            "in_memory": trials.in_memory,
        }
    )
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, dict):
            spec = fields.read(TrialSpec, asked)
            answer({"seconds": step_timing.seconds_per_multiply_add(protocol, spec)})
            continue
        specs = [fields.read(TrialSpec, spec) for spec in asked]
        try:
            results = run(trials, specs)
        except UsageError as error:
            answer({"error": str(error)})
            return
        # Another error is the result of its trial. The next one starts with nothing left of it.
        except Exception as error:
            traceback.print_exc()
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
            results = [{**empty_record(spec), "error": text} for spec in specs]
            trials = trial.Trials(protocol, pathlib.Path(start["folder"]))
        answer(results)


def process_record(command: str, threads: int) -> dict:
    """The record of this process in the log of a study.

    Args:
        command: The command line that started the study.
        threads: Threads that an operation of its trials may use.
    """
    from keras_wn.training import provenance

    environment = provenance.environment()
    environment["machine"]["threads"] = threads
    return {
        "kind": "process",
        "id": f"p{uuid.uuid4().hex[:8]}",
        "command": command,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **environment,
        "commit": provenance.commit(),
    }


if __name__ == "__main__":
    main()
