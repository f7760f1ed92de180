"""Loads weights files of plain models into weight-normalized ones, and the other way round."""

import h5py
import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn.interop import load_plain_weights
from tests.helpers import to_numpy
from tests.interop.test_whole_models import CASES, SERIES, Subclassed

MODELS = {**CASES, "subclassed": (Subclassed, SERIES)}


# The class of a subclassed model is saved by name, and this one is a test's: no .keras file of it.
@pytest.mark.parametrize(
    "name, end", [(name, "weights.h5") for name in MODELS] + [(name, "keras") for name in CASES]
)
def test_plain_file_loads_and_goes_back(name, end, tmp_path):
    make, x = MODELS[name]
    model = make()
    expected = to_numpy(model(x))
    (model.save_weights if end == "weights.h5" else model.save)(tmp_path / f"plain.{end}")
    normalized = keras_wn.weight_norm(make_built(make, x))
    assert np.any(np.abs(to_numpy(normalized(x)) - expected) > 1e-3)
    load_plain_weights(normalized, tmp_path / f"plain.{end}")
    np.testing.assert_allclose(to_numpy(normalized(x)), expected, rtol=1e-4, atol=1e-5)

    keras_wn.fold(normalized).save_weights(tmp_path / "back.weights.h5")
    other = make_built(make, x)
    other.load_weights(tmp_path / "back.weights.h5")
    np.testing.assert_allclose(to_numpy(other(x)), expected, rtol=1e-4, atol=1e-5)


def make_built(make, x):
    model = make()
    model(x)
    return model


def small(**options):
    return keras.Sequential(
        [keras.Input((4,)), keras_wn.layers.WNDense(3, name="first", **options), kl.Dense(2)],
        name="m",
    )


def refused(model, path, message):
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        load_plain_weights(model, path)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_file_that_does_not_fit_changes_nothing(tmp_path):
    path = tmp_path / "a.weights.h5"
    refused(small(), path, "cannot load .*a.weights.h5 into the plain layers of model 'm'")
    path.write_text("not HDF5")
    refused(small(), path, "cannot load .*a.weights.h5 into the plain layers of model 'm'")
    keras.Sequential([keras.Input((4,)), kl.Dense(5), kl.Dense(2)]).save_weights(path)
    refused(small(), path, "cannot load .*Allowed: a weights file")
    keras_wn.fold(small()).save_weights(path)
    whole = path.read_bytes()
    load_plain_weights(small(), path)
    path.write_bytes(whole[: len(whole) // 2])
    refused(small(), path, "cannot load .*truncated")
    small().save_weights(path)  # Of the weight-normalized model itself.
    refused(small(), path, "cannot load")


def test_strict_layer_takes_unit_filters_alone(tmp_path):
    path = tmp_path / "a.weights.h5"
    model = small(use_gain=False)
    keras_wn.fold(model).save_weights(path)
    expected = to_numpy(model(np.ones((1, 4))))
    load_plain_weights(model, path)
    np.testing.assert_allclose(to_numpy(model(np.ones((1, 4)))), expected, rtol=1e-5)
    keras_wn.fold(small(gain_initializer=keras.initializers.Constant(3.0))).save_weights(path)
    refused(model, path, "Layer 'first' has use_gain=False and cannot hold a gain of 3")


# A layer that the file of a folded model cannot fill.
SCALARS = {
    "nf": "'stage1_block1_conv2_skip' is a SkipInit",
    "fixup": "ScalarBias",
    "rescale": "'stage1_block1_conv2_multiplier' is a ScalarGain",
    "sphere": "'logits' is a ScalarGain",
    "cwn_trelu_skip": "'stage1_block1_conv2' takes a scale from another layer",
}


@pytest.mark.parametrize("name", sorted({*keras_wn.methods.names()} - {*SCALARS}))
def test_folded_weights_of_every_method_load_back(name, tmp_path):
    model, other = (keras_wn.models.get("cifar_resnet8")(name, (32, 32, 3), 10) for _ in range(2))
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
    # Activations and joins have plain weights of their own.
    keras_wn.fold(model).save_weights(tmp_path / "plain.weights.h5")
    load_plain_weights(other, tmp_path / "plain.weights.h5")
    np.testing.assert_allclose(
        to_numpy(other(images)), to_numpy(model(images)), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("name, layer", SCALARS.items())
def test_a_model_with_scalars_is_refused_because_its_plain_twin_holds_them(name, layer, tmp_path):
    model = keras_wn.models.get("cifar_resnet8")(name, (32, 32, 3), 10)
    keras_wn.fold(model).save_weights(tmp_path / "plain.weights.h5")
    refused(model, tmp_path / "plain.weights.h5", layer)


def test_noise_has_nothing_to_load(tmp_path):
    layers = [keras.Input((4,)), keras_wn.layers.WNDense(3, name="dense")]
    noise = keras_wn.layers.BatchStatisticsNoise(8, seed=0)
    plain = keras.Sequential([layers[0], keras.layers.Dense(3, name="dense")])
    plain.save_weights(tmp_path / "plain.weights.h5")
    model = keras.Sequential([*layers, noise])
    load_plain_weights(model, tmp_path / "plain.weights.h5")
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    np.testing.assert_allclose(to_numpy(model(x)), to_numpy(plain(x)), rtol=1e-5, atol=1e-6)


def test_a_file_that_points_to_another_file_is_refused(tmp_path):
    keras.Sequential([keras.Input((4,)), kl.Dense(3, name="dense")]).save_weights(
        tmp_path / "good.weights.h5"
    )
    model = keras.Sequential([keras.Input((4,)), keras_wn.layers.WNDense(3, name="dense")])
    before = model.get_weights()
    for place in ("layers/dense/vars/0", "layers/dense"):
        path = tmp_path / "link.weights.h5"
        path.write_bytes((tmp_path / "good.weights.h5").read_bytes())
        with h5py.File(path, "a") as file:
            del file[place]
            file[place] = h5py.ExternalLink("good.weights.h5", f"/{place}")
        with pytest.raises(ValueError, match="cannot load .*link.weights.h5"):
            load_plain_weights(model, path)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_plain_weights_as_directions(tmp_path):
    plain = keras.Sequential([keras.Input((4,)), kl.Dense(3, name="dense")])
    plain.save_weights(tmp_path / "plain.weights.h5")
    layer = keras_wn.layers.WNDense(3, use_gain=False, name="dense")
    model = keras.Sequential([keras.Input((4,)), layer])
    load_plain_weights(model, tmp_path / "plain.weights.h5", as_directions=True)
    np.testing.assert_array_equal(to_numpy(layer.v), to_numpy(plain.layers[0].kernel))
