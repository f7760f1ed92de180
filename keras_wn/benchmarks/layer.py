"""What weight normalization adds to a layer's training step."""

import keras
import numpy as np

from keras_wn.benchmarks.layers import keras_engine
from keras_wn.benchmarks.layers.shapes import SHAPES
from keras_wn.benchmarks.table import Table
from keras_wn.benchmarks.timing import interleaved

_NOTE = "Ratio to the plain layer of the same engine. TensorFlow Addons' wrapper, in its own environment: nox -s overhead."


def measure(request):
    """Times a step of each layer plain, as a `WN*` class and in the wrapper, in turns; on PyTorch also of PyTorch's own.

    Args:
        request: `Request`.

    Returns:
        List of `Table`, one a shape.
    """
    rng = np.random.default_rng(0)
    tables = []
    for shape in SHAPES:
        x = rng.normal(size=(request.batch_size, *shape.inputs)).astype("float32")
        y = rng.normal(size=(request.batch_size, *shape.inputs[:-1], shape.units)).astype("float32")
        engines = [(keras_engine.ENGINE, keras_engine.steps(shape, x, y, request.xla == "on"))]
        if keras.backend.backend() == "torch":
            from keras_wn.benchmarks.layers import torch_engine

            engines.append((torch_engine.name(), torch_engine.steps(shape, x, y)))
        for engine, steps in engines:
            title = f"training step of {shape.name}: {engine}, batch {request.batch_size}, float32; {request.rounds} rounds in turns"
            tables.append(Table(title, interleaved(steps, request.rounds, warm_up=2).rows()))
    return [*tables[:-1], Table(tables[-1].title, tables[-1].rows, notes=(_NOTE,))]
