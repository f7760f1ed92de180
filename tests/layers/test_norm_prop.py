import keras
import numpy as np

from keras_wn import layers
from tests.helpers import filter_norms, to_numpy

GAUSSIAN = np.random.default_rng(0).normal(size=1_000_000).astype("float32")


def test_norm_prop_unit_keeps_mean_0_and_variance_1_at_gain_1():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 256)).astype("float32")
    for _ in range(3):
        x = to_numpy(layers.NormalizedReLU()(layers.NormPropDense(256, gain_initializer="ones")(x)))
    # Not exactly: the units of a layer share their inputs, and later inputs are only about
    # Gaussian.
    assert abs(x.mean()) < 0.02
    assert abs(x.var() - 1) < 0.05


def test_norm_prop_starts_with_unit_filters_and_the_papers_gain():
    layer = layers.NormPropConv2D(4, 3)
    layer(np.ones((1, 5, 5, 2), "float32"))
    np.testing.assert_allclose(filter_norms(layer.v), 1, rtol=1e-6)
    np.testing.assert_allclose(to_numpy(layer.g), 1 / 1.21, rtol=1e-6)


def test_norm_prop_defaults_can_be_replaced_and_are_saved():
    layer = layers.NormPropDense(4, kernel_constraint=None, gain_initializer="ones")
    copy = layers.NormPropDense.from_config(layer.get_config())
    assert layer.kernel_constraint is None and copy.kernel_constraint is None
    assert isinstance(copy.gain_initializer, keras.initializers.Ones)
