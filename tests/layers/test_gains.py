"""The gains of weight-normalized layers: start, log g, freezing, sharding."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn import layers
from keras_wn.layers import WeightNormalization, WNConv2D, WNDense, WNSeparableConv2D
from tests.helpers import gradients, randomize, to_numpy
from tests.layers.cases import CASES, IMAGES, VECTORS, build, by_kernel, norms, set_plain

WRAPPED = {
    "wrapped_dense": (lambda **kwargs: WeightNormalization(kl.Dense(3), **kwargs), VECTORS),
    "wrapped_lstm": (
        lambda **kwargs: WeightNormalization(kl.LSTM(3), **kwargs),
        np.ones((2, 3, 4), "float32"),
    ),
}
MAKERS = {
    **{n: (lambda c=c, a=a, **kwargs: c(**a, **kwargs), x) for n, (c, a, x) in CASES.items()},
    **WRAPPED,
}


def gains_of(layer):
    return layer.gains if isinstance(layer, WeightNormalization) else by_kernel(layer, layer.g)


@pytest.mark.parametrize("name", MAKERS)
def test_gain_starts_where_it_is_told_and_stays_there(name):
    make, x = MAKERS[name]
    layer = make(gain_initializer=keras.initializers.Constant(2.0), trainable_gain=False)
    layer(x)
    for value in gains_of(layer).values():
        np.testing.assert_array_equal(to_numpy(value), 2.0)
    assert not any(v.name.endswith("_g") for v in layer.trainable_variables)
    # As with every variable that was made so, a layer that is frozen and thawed does not train it.
    layer.trainable = False
    layer.trainable = True
    assert not any(v.name.endswith("_g") for v in layer.trainable_variables)
    copy = type(layer).from_config(layer.get_config())
    copy(x)
    assert len(copy.trainable_variables) == len(layer.trainable_variables)
    np.testing.assert_array_equal(to_numpy(next(iter(gains_of(copy).values()))), 2.0)


def model_with_frozen_gain():
    """A model with a dense layer's gain frozen, and one gain of a layer with two kernels."""
    model = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            WNSeparableConv2D(3, 3, name="separable"),
            WeightNormalization(kl.Conv2D(2, 2), name="wrapped"),
            kl.Flatten(),
            WNDense(2, name="dense"),
        ]
    )
    model.get_layer("separable").g["depthwise_kernel"].trainable = False
    model.get_layer("wrapped").g.trainable = False
    model.get_layer("dense").g.trainable = False
    return model


def trained(model):
    return {
        (layer.name, v.name)
        for layer in model.layers
        for v in layer.trainable_variables
        if "seed" not in v.name
    }


def by_name(model):
    return {(layer.name, v.name): to_numpy(v) for layer in model.layers for v in layer.weights}


def test_frozen_gain_stays_frozen_through_clones_and_files(tmp_path):
    model = model_with_frozen_gain()
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    model.fit(IMAGES, np.ones((2, 2)), verbose=0)
    expected = trained(model)
    assert ("separable", "pointwise_kernel_g") in expected
    assert (
        not {("separable", "depthwise_kernel_g"), ("wrapped", "kernel_g"), ("dense", "kernel_g")}
        & expected
    )
    model.save(tmp_path / "model.keras")
    copies = {
        "clone": keras.models.clone_model(model),
        "file": keras.models.load_model(tmp_path / "model.keras"),
        "json": keras.models.model_from_json(model.to_json()),
        "weight_norm": keras_wn.weight_norm(
            keras.Sequential([keras.Input((6, 6, 4)), *model.layers, kl.Dense(1, name="extra")])
        ),
    }
    for name, copy in copies.items():
        found = {
            entry for entry in trained(copy) if entry[0] in {layer.name for layer in model.layers}
        }
        assert found == expected, name
    np.testing.assert_array_equal(to_numpy(copies["file"](IMAGES)), to_numpy(model(IMAGES)))
    copies["file"].fit(IMAGES, np.ones((2, 2)), verbose=0)
    model.fit(IMAGES, np.ones((2, 2)), verbose=0)
    expected, found = by_name(model), by_name(copies["file"])
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=str(name))


def test_fold_and_weight_norm_leave_frozen_what_was_frozen():
    model = keras.Sequential(
        [keras.Input((4,)), kl.Dense(3, name="a"), WNDense(3, name="b"), WNDense(2, name="c")]
    )
    model.get_layer("a").kernel.trainable = False
    model.get_layer("b").g.trainable = False
    model.get_layer("c").v.trainable = False
    model.get_layer("c").g.trainable = False
    normalized = keras_wn.weight_norm(model)
    assert trained(normalized) == {("a", "bias"), ("b", "kernel"), ("b", "bias"), ("c", "bias")}
    folded = keras_wn.fold(normalized)
    assert trained(folded) == {("a", "bias"), ("b", "kernel"), ("b", "bias"), ("c", "bias")}


def test_training_leaves_a_frozen_gain_alone():
    model = keras.Sequential(
        [keras.Input((6, 6, 4)), WNConv2D(3, 6, trainable_gain=False), kl.Flatten()]
    )
    before = to_numpy(model.layers[0].g).copy()
    model.compile("sgd", "mse")
    model.fit(IMAGES, np.ones((2, 3)), verbose=0)
    np.testing.assert_array_equal(to_numpy(model.layers[0].g), before)


def test_bad_options_are_refused():
    with pytest.raises(
        ValueError,
        match="WNDense: trainable_gain='no' is not allowed. Allowed: True, False, or a dict",
    ):
        WNDense(3, trainable_gain="no")
    layer = WNSeparableConv2D(3, 3, trainable_gain={"kernel": False}, name="s")
    with pytest.raises(
        ValueError,
        match=r"'s': trainable_gain names the kernels \['kernel'\]. "
        "Allowed: depthwise_kernel, pointwise_kernel",
    ):
        layer(IMAGES)


def test_rho_that_was_thawed_is_still_cloned():
    model = keras.Sequential([keras.Input((6, 6, 4)), keras_wn.layers.BoundedWNConv2D(3, 2)])
    model.layers[0].g.trainable = True
    assert not keras.models.clone_model(model).layers[0].g.trainable


@pytest.mark.parametrize("name", CASES)
def test_gain_in_log_space(name, tmp_path):
    layer, plain, x = build(name, log_gain=True)
    gains = by_kernel(layer, layer.g)
    assert {v.name for v in layer.variables} >= {f"{kernel}_log_g" for kernel in gains}
    starts = by_kernel(layer, layer.v)
    for kernel, length in norms(name, starts).items():
        np.testing.assert_allclose(
            np.exp(gains[kernel]), length.reshape(gains[kernel].shape), rtol=1e-5
        )
    randomize(layer)
    for kernel, length in norms(name, by_kernel(layer, layer.effective_kernel)).items():
        s = by_kernel(layer, layer.g)[kernel]
        np.testing.assert_allclose(length.reshape(s.shape), np.exp(s), rtol=1e-5)
    set_plain(plain, layer)
    np.testing.assert_allclose(to_numpy(layer(x)), to_numpy(plain(x)), rtol=1e-4, atol=1e-4)
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype.name), layer])
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        to_numpy(keras.saving.load_model(tmp_path / "model.keras")(x)), to_numpy(model(x))
    )


def test_gradient_of_the_log_gain_is_g_times_that_of_g():
    layer, _, x = build("dense", log_gain=True)
    other, _, _ = build("dense")
    s = np.array([-1.0, 0.0, 2.0], "float32")
    other.v.assign(layer.v)
    layer.g.assign(s)
    other.g.assign(np.exp(s))
    cotangent = np.random.default_rng(2).normal(size=(5, 3)).astype("float32")
    of_log, of_g = gradients(layer, x, cotangent), gradients(other, x, cotangent)
    np.testing.assert_allclose(of_log["kernel_log_g"], np.exp(s) * of_g["kernel_g"], rtol=1e-5)
    np.testing.assert_allclose(of_log["kernel"], of_g["kernel"], rtol=1e-4, atol=1e-6)


def test_log_gain_refuses_what_has_no_logarithm():
    with pytest.raises(ValueError, match="log_gain=True with use_gain=False"):
        layers.WNDense(3, use_gain=False, log_gain=True)
    with pytest.raises(
        ValueError, match="log_gain=True: a gain of .* is 0.0. Allowed: positive numbers"
    ):
        build("dense", log_gain=True, gain_initializer="zeros")


def test_log_of_a_tiny_gain_in_float16_is_finite():
    layer = layers.WNDense(3, log_gain=True, dtype="float16", kernel_initializer="zeros")
    layer.build((None, 4))
    assert np.all(np.isfinite(to_numpy(layer.g)))
    ((_, gain),) = layer.kernels_and_gains()
    gain.assign(np.array([1e-9, 1.0, 2.0], "float32"))
    np.testing.assert_allclose(to_numpy(layer.g), np.log([1e-9, 1.0, 2.0]), rtol=1e-2)


SHARDING_PROGRAM = """
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


@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="keras.distribution.ModelParallel needs JAX"
)
def test_layout_map_shards_a_gain_as_its_kernel():
    result = subprocess.run(
        [sys.executable, "-c", SHARDING_PROGRAM], capture_output=True, text=True, check=False
    )
    assert "the same on four devices" in result.stdout, result.stderr[-2000:]
