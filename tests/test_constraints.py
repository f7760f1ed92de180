import keras
import numpy as np
import pytest

from keras_wn import layers
from keras_wn.constraints import UnitNorm
from tests.helpers import filter_norms, to_numpy


@pytest.mark.parametrize("shape", [(4, 3), (3, 3, 2, 5), (2, 2, 2, 3, 4)])
def test_every_filter_has_unit_norm_and_keeps_its_direction(shape):
    kernel = np.random.default_rng(0).normal(size=shape).astype("float32")
    projected = to_numpy(UnitNorm()(kernel))
    np.testing.assert_allclose(filter_norms(projected), 1, rtol=1e-6)
    np.testing.assert_allclose(projected * filter_norms(kernel), kernel, rtol=1e-5, atol=1e-6)


def test_axis_chooses_the_fan_in():
    kernel = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    np.testing.assert_allclose(
        np.linalg.norm(to_numpy(UnitNorm(axis=1)(kernel)), axis=1), 1, rtol=1e-6
    )


def test_axis_outside_the_kernel_is_refused():
    with pytest.raises(ValueError, match=r"axis=\(2,\) lies outside a kernel of rank 2"):
        UnitNorm(axis=2)(np.ones((3, 4), "float32"))


def test_is_saved_with_its_axis():
    copy = keras.constraints.deserialize(keras.constraints.serialize(UnitNorm(axis=(0, 1))))
    assert isinstance(copy, UnitNorm) and copy.axis == (0, 1)


def test_norm_prop_filters_have_unit_norm_after_each_step():
    layer = layers.NormPropConv2D(3, 3)
    model = keras.Sequential([keras.Input((6, 6, 2)), layer, layers.NormalizedReLU()])
    model.compile(optimizer=keras.optimizers.SGD(1.0, momentum=0.9), loss="mse")
    images = np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype("float32")
    for _ in range(3):
        before = to_numpy(layer.v).copy()
        model.train_on_batch(images, np.ones((8, 4, 4, 3), "float32"))
        assert np.any(before != to_numpy(layer.v))
        np.testing.assert_allclose(filter_norms(layer.v), 1, rtol=1e-6)
