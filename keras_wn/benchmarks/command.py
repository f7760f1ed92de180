"""The flags of `runners/benchmark.py`, and what they do."""

import json
import pathlib

import keras
from absl import flags

from keras_wn import models
from keras_wn.benchmarks.catalogue import BENCHMARKS
from keras_wn.benchmarks.request import Request, Variant
from keras_wn.training.config import PRECISIONS
from keras_wn.training.errors import UsageError


def define():
    """Defines the flags."""
    texts = "; ".join(f"{name}: {benchmark.compares}" for name, benchmark in BENCHMARKS.items())
    flags.DEFINE_enum("what", "step", list(BENCHMARKS), f"What to measure: {texts}.")
    flags.DEFINE_list(
        "methods",
        None,
        "Methods, the baseline first, as wn_trelu or, with another join, wn_trelu:weighted; what --what takes if not given.",
    )
    flags.DEFINE_list(
        "model", ["resnet50"], f"Networks, a table each: {', '.join(models.names())}."
    )
    flags.DEFINE_list(
        "batch_size",
        None,
        "Global batch sizes, a table each; 32, of single layers 16, if not given.",
    )
    flags.DEFINE_integer(
        "image_size",
        None,
        "Height and width of the images; what --what takes if not given.",
        lower_bound=8,
    )
    flags.DEFINE_integer("rounds", 9, "Rounds that count.", lower_bound=1)
    flags.DEFINE_enum(
        "precision", "float32", PRECISIONS, "Keras dtype policy, of step, memory and tpu."
    )
    flags.DEFINE_enum(
        "xla", "auto", ["auto", "on", "off"], "Whether XLA compiles the step, on TensorFlow."
    )
    flags.DEFINE_integer("replicas", 2, "Replicas that are compared with one.", lower_bound=2)
    flags.DEFINE_string("topology", "v5e:2x2", "Slice of TPU chips that --what=tpu compiles for.")
    flags.DEFINE_integer("batch_per_chip", 128, "Images a chip, of --what=tpu.", lower_bound=1)
    flags.DEFINE_string("output", None, "File for the figures, as JSON.")


def run():
    """Does what the flags say."""
    values = flags.FLAGS
    benchmark = BENCHMARKS[values.what]
    backend = keras.backend.backend()
    if backend not in benchmark.backends:
        raise UsageError(
            f"--what={values.what} with KERAS_BACKEND={backend}: not there. Allowed: KERAS_BACKEND={' or '.join(benchmark.backends)}."
        )
    if values.output and not pathlib.Path(values.output).absolute().parent.is_dir():
        raise UsageError(
            f"--output={values.output}: no such folder. Allowed: a file in a folder that exists."
        )
    tables = []
    for request in _requests(values, benchmark):
        for table in benchmark.measure(request):
            print(table.text(), end="\n\n", flush=True)
            tables.append(table.record())
    if values.output:
        record = {"what": values.what, "backend": backend, "tables": tables}
        pathlib.Path(values.output).write_text(
            json.dumps(record, indent=1) + "\n", encoding="utf-8"
        )


def _requests(values, benchmark):
    asked = benchmark.methods if values.methods is None else values.methods
    variants = tuple(Variant.parse(text) for text in asked)
    if benchmark.methods and not variants:
        raise UsageError("--methods: none given. Allowed: one at least.")
    unknown = [model for model in values.model if model not in models.names()]
    if unknown or not values.model:
        raise UsageError(
            f"--model={','.join(unknown)}: unknown. Allowed: {', '.join(models.names())}."
        )
    sizes = [_positive(text) for text in values.batch_size or [benchmark.batch_size]]
    return [
        Request(
            variants,
            model,
            batch_size,
            values.image_size or benchmark.image_size,
            values.rounds,
            values.precision,
            values.xla,
            values.replicas,
            values.topology,
            values.batch_per_chip,
        )
        for model in values.model
        for batch_size in sizes
    ]


def _positive(text):
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise UsageError(
            f"--batch_size={text}: not allowed. Allowed: positive integers, separated by commas."
        )
    return number
