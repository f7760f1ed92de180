"""`keras.distribution.ModelParallel` on JAX: a gain is sharded as its kernel, and training is that of one device."""

import subprocess
import sys

import keras
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("keras.distribution.ModelParallel needs JAX", allow_module_level=True)

PROGRAM = """
import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
import keras
import numpy as np
from keras import layers as kl

import keras_wn


def losses():
    keras.utils.set_random_seed(0)
    layers = [
        keras_wn.layers.WNEmbedding(6, 4),
        keras_wn.layers.WeightNormalization(kl.Dense(4)),
        kl.Flatten(),
        keras_wn.layers.WNDense(2),
    ]
    model = keras.Sequential([keras.Input((5,), dtype="int32"), *layers])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    tokens = np.arange(20).reshape(4, 5) % 6
    history = model.fit(tokens, np.ones((4, 2)), verbose=0, batch_size=4, epochs=3)
    return history.history["loss"], [layers[i].g.value.sharding for i in (0, 1, 3)]


expected, _ = losses()
mesh = keras.distribution.DeviceMesh((2, 2), ("batch", "model"))
layout_map = keras.distribution.LayoutMap(mesh)
# Each of these also finds the gain, which has one axis.
layout_map[".*kernel.*"] = (None, "model")
layout_map[".*embeddings.*"] = ("model", None)
keras.distribution.set_distribution(keras.distribution.ModelParallel(layout_map=layout_map))
found, shardings = losses()
np.testing.assert_allclose(found, expected, rtol=1e-5)
for sharding in shardings:
    if tuple(sharding.spec) != ("model",):
        raise ValueError(sharding)
print("the same on four devices")
"""


def test_layout_map_shards_a_gain_as_its_kernel():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert "the same on four devices" in result.stdout, result.stderr[-2000:]
