"""What weight normalization leaves of cost in inference, once it is folded: nothing, it should turn out."""

import numpy as np

from keras_wn.benchmarks.layers import keras_engine
from keras_wn.benchmarks.layers.shapes import SHAPES
from keras_wn.benchmarks.table import Table
from keras_wn.benchmarks.timing import interleaved


def measure(request):
    """Times the forward pass of each layer plain, weight-normalized and then folded, in turns.

    Args:
        request: `Request`.

    Returns:
        List of `Table`, one a shape.
    """
    rng = np.random.default_rng(0)
    tables = []
    for shape in SHAPES:
        x = rng.normal(size=(request.batch_size, *shape.inputs)).astype("float32")
        rows = interleaved(keras_engine.inferences(shape, x), request.rounds, warm_up=2).rows()
        title = f"inference of {shape.name}: {keras_engine.ENGINE}, batch {request.batch_size}, float32; {request.rounds} rounds in turns"
        tables.append(Table(title, rows))
    return tables
