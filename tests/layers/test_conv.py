import keras
import numpy as np
import pytest

import keras_wn
from keras_wn.layers import BoundedWNConv2D
from tests.helpers import filter_norms, gradients, to_numpy

IMAGES = np.random.default_rng(0).normal(size=(4, 6, 6, 3)).astype("float32")


def net(**arguments):
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), BoundedWNConv2D(5, 3, **arguments), keras.layers.Flatten()]
    )
    return model, model.layers[0]


def test_starts_as_the_plain_convolution_and_keeps_its_norms():
    model, layer = net()
    v, rho = to_numpy(layer.v).copy(), filter_norms(layer.v)
    np.testing.assert_allclose(to_numpy(layer.effective_kernel), v, rtol=1e-5, atol=1e-7)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    model.fit(IMAGES, np.ones((4, 80), "float32"), epochs=3, verbose=0)
    assert np.all(filter_norms(layer.v) > 1.001 * rho)
    assert np.abs(to_numpy(layer.effective_kernel) - v).max() > 0.01
    np.testing.assert_allclose(filter_norms(layer.effective_kernel), rho, rtol=1e-5)


def test_no_gradient_reaches_rho_or_runs_along_v():
    _, layer = net(gain_initializer=keras.initializers.Constant(3.0), use_bias=False)
    found = gradients(layer, IMAGES, np.ones((4, 4, 4, 5), "float32"))
    assert list(found) == ["kernel"]
    along = np.sum(found["kernel"] * to_numpy(layer.v), axis=(0, 1, 2))
    np.testing.assert_allclose(along / np.linalg.norm(found["kernel"]), 0, atol=1e-5)


def test_rho_stays_untrained_when_the_model_is_frozen_and_thawed():
    model, layer = net()
    model.trainable = False
    model.trainable = True
    assert [v.name for v in model.trainable_variables] == ["kernel", "bias"]
    assert [v.name for v in layer.non_trainable_variables] == ["kernel_g"]


def test_saved_and_loaded_it_has_the_same_norms(tmp_path):
    model, layer = net(gain_initializer=keras.initializers.Constant(2.0))
    layer.g.assign([1.0, 2.0, 3.0, 4.0, 5.0])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(loaded(IMAGES)), to_numpy(model(IMAGES)))
    assert len(loaded.trainable_variables) == 2


def test_folded_it_is_a_plain_convolution():
    model, _ = net(gain_initializer=keras.initializers.Constant(2.0), activation="relu")
    folded = keras_wn.fold(model)
    assert type(folded.layers[0]) is keras.layers.Conv2D
    np.testing.assert_allclose(filter_norms(folded.layers[0].kernel), 2.0, rtol=1e-5)
    np.testing.assert_allclose(
        to_numpy(folded(IMAGES)), to_numpy(model(IMAGES)), rtol=1e-4, atol=1e-5
    )


def test_without_a_gain_it_is_refused():
    with pytest.raises(ValueError, match="use_gain=False is not allowed"):
        BoundedWNConv2D(5, 3, use_gain=False)
