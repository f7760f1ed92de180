"""TensorFlow Addons' wrapper against plain Keras 2, in TensorFlow Addons' own environment.

`runners/benchmark.py --what=layer` measures the same here; `nox -s overhead` runs both.
"""

import pathlib
import sys

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

# `keras_wn` needs Keras 3, which cannot live in this environment. These modules need no Keras.
sys.path.append(str(pathlib.Path(__file__).parents[2] / "keras_wn" / "benchmarks"))
sys.path.append(str(pathlib.Path(__file__).parents[2] / "keras_wn" / "training"))

from single_layers import BATCH, SHAPES, tensorflow_step
from text_table import Table
from timing import interleaved

_ROUNDS = 15


def main():
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        x = rng.normal(size=(BATCH, *shape.inputs)).astype("float32")
        y = rng.normal(size=(BATCH, *shape.inputs[:-1], shape.units)).astype("float32")
        steps = _steps(shape, x, y)
        # Progress needs rich, which comes with Keras 3.
        rows = interleaved(steps, _ROUNDS, warm_up=2, shows_progress=False).rows()
        engine = f"tensorflow-addons {tfa.__version__} on tensorflow {tf.__version__}"
        title = (
            f"training step of {shape.name}: {engine}, batch {BATCH}, float32; "
            f"{_ROUNDS} rounds in turns"
        )
        print(Table(title, rows).text(), end="\n\n", flush=True)


def _steps(shape, x, y):
    found = {}
    for name in ("plain", "wrapper"):
        if shape.kernel_size is None:
            layer = tf.keras.layers.Dense(shape.units)
        else:
            layer = tf.keras.layers.Conv2D(shape.units, shape.kernel_size, padding="same")
        if name == "wrapper":
            layer = tfa.layers.WeightNormalization(layer, data_init=False)
        model = tf.keras.Sequential([tf.keras.Input(shape.inputs), layer])
        found[name] = tensorflow_step(model, tf.keras.optimizers.SGD(1e-3), x, y, jit_compile=False)
    return found


main()
