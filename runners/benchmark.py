"""Measures speed, each figure as a ratio in one process: `python runners/benchmark.py --what=runner`."""

import json
import os
import pathlib
import sys

# TensorFlow's messages on devices and processors would hide the table. Set it to 0 to see them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow's own default on newer processors alone; on others, convolutions' gradients take up to 50 times as long without.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from absl import flags

from keras_wn import methods, models
from keras_wn.training import command_line
from keras_wn.training.errors import UsageError

# Name -> what it compares.
WHAT = {
    "runner": "the runner's training loop with a bare step on data in memory",
    "replicas": "two replicas on this processor with one, at the same global batch",
    "input": "the pipeline of JPEGs with a bare loop of fused decoding and cropping",
    "checkpoint": "a checkpoint with a training step",
}
flags.DEFINE_enum(
    "what", "runner", list(WHAT), "What to measure: " + "; ".join(f"{k}: {v}" for k, v in WHAT.items()) + "."
)
flags.DEFINE_enum("norm", "wn", methods.names(), "Method.")
flags.DEFINE_enum("model", "resnet50", models.names(), "Network.")
flags.DEFINE_integer("batch_size", 32, "Global batch size.", lower_bound=1)
flags.DEFINE_integer(
    "image_size", None, "Height and width of the images; 224 for input, 64 for the others if not given.", lower_bound=8
)
flags.DEFINE_integer("rounds", 9, "Rounds that count.", lower_bound=3)
flags.DEFINE_string("output", None, "File for the figures, as JSON.")


def main():
    values = flags.FLAGS
    if values.output and not pathlib.Path(values.output).absolute().parent.is_dir():
        raise UsageError(f"--output={values.output}: no such folder. Allowed: a file in a folder that exists.")
    size = (values.batch_size, values.image_size or (224 if values.what == "input" else 64), values.rounds)
    comparison = _measure(values, size)
    rows = comparison.rows()
    print(
        f"{WHAT[values.what]}: {values.norm}, {values.model}, batch {values.batch_size}, {size[1]} pixels; "
        f"{values.rounds} rounds in turns"
    )
    print(f"{'':<24}{'median, ms':>12}{'ratio':>8}{'quartiles':>18}")
    for row in rows:
        quartiles = f"{row['low']:.3f} to {row['high']:.3f}"
        print(f"{row['name']:<24}{1e3 * row['seconds']:>12.1f}{row['ratio']:>8.3f}{quartiles:>18}")
    if values.what == "checkpoint":
        step, checkpoint = (row["seconds"] for row in rows)
        print(f"One checkpoint in 500 steps takes {checkpoint / (500 * step):.2%} of their time.")
    if values.output:
        pathlib.Path(values.output).write_text(
            json.dumps({"what": values.what, "rows": rows}, indent=1) + "\n", encoding="utf-8"
        )


def _measure(values, size):
    # Each imported when it is asked for: they start TensorFlow.
    if values.what == "runner":
        from keras_wn.benchmarks import runner

        return runner.measure(values.norm, values.model, *size)
    if values.what == "replicas":
        from keras_wn.benchmarks import replicas

        return replicas.measure(values.norm, values.model, *size)
    if values.what == "input":
        from keras_wn.benchmarks import input_pipeline

        return input_pipeline.measure(*size)
    from keras_wn.benchmarks import checkpoint

    return checkpoint.measure(values.norm, values.model, *size)


if __name__ == "__main__":
    sys.exit(command_line.run(main))
