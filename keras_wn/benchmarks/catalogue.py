"""What `runners/benchmark.py` can measure."""

import dataclasses
import importlib

from keras_wn.benchmarks.layers.shapes import BATCH

STUDY = ("none", "bn", "wn", "normprop", "wn_trelu")
_EVERY = ("tensorflow", "jax", "torch")


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A measurement: its module in `keras_wn.benchmarks`, what it compares, and what it takes if nothing else is asked for.

    Attributes:
        module: Name of a module with `measure(request)`, which returns a list of `Table`.
        compares: Text.
        methods: Methods, the baseline first where there are several.
        image_size: Height and width of the images.
        batch_size: Images of a step.
        backends: Backends of Keras that it runs on.
    """

    module: str
    compares: str
    methods: tuple = ("wn",)
    image_size: int = 64
    batch_size: int = 32
    backends: tuple = ("tensorflow",)

    def measure(self, request):
        """The tables of a `Request`."""
        # Imported when it is asked for: some start TensorFlow.
        return importlib.import_module(f"keras_wn.benchmarks.{self.module}").measure(request)


BENCHMARKS = {
    "step": Benchmark("step", "training steps of the methods", STUDY, 224, 32, _EVERY),
    "layer": Benchmark(
        "layer", "training steps of one layer, plain and weight-normalized", (), 64, BATCH, _EVERY
    ),
    "inference": Benchmark(
        "inference", "inference of one layer, plain and folded", (), 64, BATCH, _EVERY
    ),
    "memory": Benchmark(
        "memory", "peak memory of a training step of the methods", STUDY, 224, 32, _EVERY
    ),
    "tpu": Benchmark(
        "tpu", "training steps of the methods, compiled for a TPU", STUDY, 224, 32, ("jax",)
    ),
    "startup": Benchmark(
        "startup", "importing, and the first training step, with plain Keras", ("wn",)
    ),
    "runner": Benchmark("runner", "the runner's training loop with a bare step on data in memory"),
    "replicas": Benchmark(
        "replicas",
        "replicas on this processor with one, at the same global batch, and the methods on each",
    ),
    "input": Benchmark(
        "input_pipeline",
        "the pipeline of JPEGs with a bare loop of fused decoding and cropping",
        (),
        224,
    ),
    "checkpoint": Benchmark("checkpoint", "a checkpoint with a training step"),
}
