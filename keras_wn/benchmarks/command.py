"""Lists the benchmarks, and runs the one that the flags of `runners/benchmark.py` ask for."""

import dataclasses
import importlib
import json
import pathlib

import keras
from absl import flags

from keras_wn import methods, models
from keras_wn.benchmarks.single_layers import BATCH
from keras_wn.benchmarks.workload import Variant, Workload
from keras_wn.errors import UsageError
from keras_wn.training import flag_fields
from keras_wn.training.config import PRECISIONS

_ALL = ("tensorflow", "jax", "torch")


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A benchmark, and its defaults.

    Attributes:
        compares: Text for `--help`.
        methods: Names of methods, the baseline first where several are compared.
        image_size: Height and width of the images.
        batch_size: Images of a step.
        backends: Backends of Keras that it runs on.
    """

    compares: str
    methods: tuple[str, ...] = ("wn",)
    image_size: int = 64
    batch_size: int = 32
    backends: tuple[str, ...] = ("tensorflow",)


# A benchmark is named as its module in this folder, whose `measure` makes a list of `Table` from a
# `Workload`.
BENCHMARKS = {
    "step": Benchmark("training steps of the methods", methods.PAPER, 224, 32, _ALL),
    "layer": Benchmark(
        "training steps of one layer, plain and weight-normalized", (), 64, BATCH, _ALL
    ),
    "inference": Benchmark("inference of one layer, plain and folded", (), 64, BATCH, _ALL),
    "memory": Benchmark(
        "peak memory of a training step of the methods", methods.PAPER, 224, 32, _ALL
    ),
    "tpu": Benchmark(
        "training steps of the methods, compiled for a TPU", methods.PAPER, 224, 32, ("jax",)
    ),
    "replicas": Benchmark(
        "replicas on this processor with one, at the same global batch, and the methods on each"
    ),
    "input": Benchmark(
        "the pipeline of JPEGs with a bare loop of fused decoding and cropping", (), 224
    ),
}


def define() -> None:
    """Defines the flags."""
    texts = "; ".join(f"{name}: {benchmark.compares}" for name, benchmark in BENCHMARKS.items())
    flags.DEFINE_enum("what", "step", list(BENCHMARKS), f"What to measure: {texts}.")
    flags.DEFINE_list(
        "methods",
        None,
        "Methods, the baseline first, as wn_trelu or, with another join, wn_trelu:weighted; "
        "what --what takes if not given.",
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


def run() -> None:
    """Runs the benchmark that the flags ask for, prints its tables, and writes their figures."""
    values = flags.FLAGS
    for name in ("output", "topology"):
        flag_fields.check_not_empty(name, values[name].value)
    benchmark = BENCHMARKS[values.what]
    backend = keras.backend.backend()
    if backend not in benchmark.backends:
        raise UsageError(
            f"--what={values.what} with KERAS_BACKEND={backend}: not supported. "
            f"Allowed: KERAS_BACKEND={' or '.join(benchmark.backends)}."
        )
    if values.output and not pathlib.Path(values.output).absolute().parent.is_dir():
        raise UsageError(
            f"--output={values.output}: no such folder. Allowed: a file in a folder that exists."
        )
    workloads = _workloads(values, benchmark)
    # Imported now, because some of the modules start TensorFlow.
    module = importlib.import_module(f"keras_wn.benchmarks.{values.what}")
    tables = []
    for workload in workloads:
        for table in module.measure(workload):
            print(table.text(), end="\n\n", flush=True)
            tables.append(table.record())
    if values.output:
        record = {"what": values.what, "backend": backend, "tables": tables}
        pathlib.Path(values.output).write_text(
            json.dumps(record, indent=1) + "\n", encoding="utf-8"
        )


def _workloads(values, benchmark) -> list[Workload]:
    """A workload for each network and each batch size."""
    asked = benchmark.methods if values.methods is None else values.methods
    variants = tuple(Variant.parse(text) for text in asked)
    if benchmark.methods and not variants:
        raise UsageError("--methods: none given. Allowed: one at least.")
    unknown = [model for model in values.model if model not in models.names()]
    if unknown or not values.model:
        raise UsageError(
            f"--model={','.join(unknown)}: unknown. Allowed: {', '.join(models.names())}."
        )
    batch_sizes = [_positive(text) for text in values.batch_size or [benchmark.batch_size]]
    return [
        Workload(
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
        for batch_size in batch_sizes
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
