"""A process that runs trials: JSON lines in, JSON lines out. `python -m keras_wn.study.worker`; `workers.Worker` starts it."""

import json
import os
import pathlib
import sys
import traceback


def main():
    # The channel is kept for the answers alone: what anything else prints goes where errors go.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    start = json.loads(sys.stdin.readline())
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Before TensorFlow's first operation.
        tf.config.threading.set_intra_op_parallelism_threads(start["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(start["threads"])

    from keras_wn.study import provenance, trial
    from keras_wn.study.protocol import Protocol
    from keras_wn.study.spec import TrialSpec, record_of
    from keras_wn.training import devices
    from keras_wn.training.errors import UsageError

    def answer(record):
        answers.write(json.dumps(record) + "\n")
        answers.flush()

    protocol = Protocol(**start["protocol"])
    try:
        trials = trial.Trials(protocol, pathlib.Path(start["folder"]))
    except UsageError as error:
        answer({"error": str(error)})
        return
    answer(
        {
            "process": provenance.of_process(start["command"], start["threads"]),
            "data": trials.data,
            "gpus": devices.gpu_count(),
        }
    )
    for line in sys.stdin:
        specs = [TrialSpec.from_record(record) for record in json.loads(line)]
        try:
            records = (
                trial.time_steps(protocol, specs)
                if specs[0].alone
                else [trials.run(spec) for spec in specs]
            )
        # Whatever a trial died of is its result, and the next one is tried, with nothing left of this one.
        except Exception as error:
            traceback.print_exc()
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
            records = [{**record_of(spec), "error": text} for spec in specs]
            trials = trial.Trials(protocol, pathlib.Path(start["folder"]))
        answer(records)


if __name__ == "__main__":
    main()
