"""How a residual branch and its shortcut become one: what `--join` selects."""

import keras

from keras_wn.layers import ScaledAdd, WeightedAdd

JOINS = {
    "sum": lambda name: keras.layers.Add(name=name),
    "rsqrt2": lambda name: ScaledAdd(name=name),
    "weighted": lambda name: WeightedAdd(name=name),
}
