"""Centered weight normalization: filters whose entries sum to 0, in every layer and the wrapper."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn import interop, layers
from keras_wn.constraints import EffectiveKernelConstraint
from keras_wn.layers import WeightNormalization
from tests.helpers import gradients, randomize, to_numpy
from tests.layers.cases import CASES, IMAGES, VECTORS, WITH_GRADIENT, build


def fan_in(layer):
    return {kernel.name: kernel.fan_in for kernel, _ in layer.kernels_and_gains()}


def by_name(layer, value):
    return value if isinstance(value, dict) else {next(iter(fan_in(layer))): value}


@pytest.mark.parametrize("name", CASES)
def test_w_is_the_papers_formula(name):
    layer, _, _ = build(name, center=True)
    randomize(layer)
    w, v, g = (by_name(layer, x) for x in (layer.effective_kernel, layer.v, layer.g))
    for kernel, axes in fan_in(layer).items():
        deviations = to_numpy(v[kernel]).astype("float64")
        deviations -= deviations.mean(axes, keepdims=True)
        norm = np.sqrt((deviations**2).sum(axes, keepdims=True))
        expected = np.expand_dims(to_numpy(g[kernel]), axes) * deviations / norm
        np.testing.assert_allclose(to_numpy(w[kernel]), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(to_numpy(w[kernel]).sum(axes), 0, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_a_new_layer_starts_as_the_plain_one_with_its_kernels_centered(name):
    layer, plain, x = build(name, center=True)
    own = {variable.name: to_numpy(variable) for variable in layer.weights}
    for kernel, axes in fan_in(layer).items():
        own[kernel] = own[kernel] - own[kernel].mean(axes, keepdims=True)
    for variable in plain.weights:
        variable.assign(own[variable.name])
    np.testing.assert_allclose(to_numpy(layer(x)), to_numpy(plain(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_gradient_of_v_is_the_centered_gradient_of_weight_normalization(name):
    layer, _, x = build(name, center=True)
    randomize(layer)
    uncentered, _, _ = build(name)
    for new, old in zip(uncentered.weights, layer.weights, strict=True):
        new.assign(to_numpy(old))
    for kernel, axes in fan_in(layer).items():
        v = by_name(uncentered, uncentered.v)[kernel]
        v.assign(to_numpy(v) - to_numpy(v).mean(axes, keepdims=True))
    cotangent = np.random.default_rng(0).normal(size=to_numpy(layer(x)).shape).astype("float32")
    of, of_uncentered = (gradients(one, x, cotangent) for one in (layer, uncentered))
    for kernel, axes in fan_in(layer).items():
        variable = by_name(layer, layer.v)[kernel].name
        expected = of_uncentered[variable]
        expected = expected - expected.mean(axes, keepdims=True)
        np.testing.assert_allclose(of[variable], expected, rtol=2e-3, atol=2e-4)
        np.testing.assert_allclose(
            of[f"{kernel}_g"], of_uncentered[f"{kernel}_g"], rtol=2e-3, atol=2e-4
        )


@pytest.mark.parametrize("name", CASES)
def test_centering_is_saved_and_folded(name, tmp_path):
    layer, _, x = build(name, center=True)
    inputs = keras.Input(x.shape[1:], dtype=x.dtype.name)
    model = keras.Model(inputs, layer(inputs))
    randomize(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    folded = keras_wn.fold(model)
    assert type(folded.layers[-1]).__module__.startswith("keras.")
    for other, tolerance in ((loaded, 1e-6), (folded, 1e-4)):
        np.testing.assert_allclose(
            to_numpy(other(x)), to_numpy(model(x)), rtol=tolerance, atol=tolerance
        )


def test_wrapper_centers_as_the_subclass_does():
    wrapper = WeightNormalization(kl.Conv2D(3, 3), center=True)
    layer = layers.WNConv2D(3, 3, center=True)
    assert wrapper(IMAGES).shape == layer(IMAGES).shape
    wrapper.v.assign(layer.v)
    wrapper.g.assign(layer.g)
    np.testing.assert_allclose(to_numpy(wrapper(IMAGES)), to_numpy(layer(IMAGES)), rtol=1e-5)
    copy = WeightNormalization.from_config(wrapper.get_config())
    assert (
        copy.center and layers.WNDense.from_config(layers.WNDense(2).get_config()).center is False
    )
    outputs = to_numpy(wrapper(IMAGES))
    np.testing.assert_allclose(to_numpy(wrapper.remove()(IMAGES)), outputs, rtol=1e-4, atol=1e-5)


def test_recurrent_kernels_can_be_centered():
    wrapper = WeightNormalization(kl.LSTM(3), center=True)
    wrapper(np.ones((2, 5, 4), "float32"))
    for w in wrapper.effective_kernels.values():
        np.testing.assert_allclose(to_numpy(w).sum(axis=0), 0, atol=1e-5)


def test_a_constant_filter_has_weight_0():
    layer = layers.WNDense(3, center=True, kernel_initializer="ones", gain_initializer="ones")
    np.testing.assert_array_equal(to_numpy(layer(VECTORS)), 0)


@pytest.mark.parametrize("value", [0.1, 1 / 3, -7e5, 1e-20])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_filter_of_equal_entries_has_weight_0_and_no_gradient(value, wrapped):
    start = keras.initializers.Constant(value)
    one = keras.initializers.Constant(1.0)
    if wrapped:
        inner = kl.Conv2D(5, 3, kernel_initializer=start)
        layer = WeightNormalization(inner, center=True, gain_initializer=one)
    else:
        layer = layers.WNConv2D(5, 3, center=True, kernel_initializer=start, gain_initializer=one)
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 37)).astype("float32")
    layer(x)
    v = np.array(to_numpy(layer.v))
    v[..., 1] = np.random.default_rng(1).normal(size=v.shape[:-1])
    v[..., 2] *= 1 + 2.0**-23 * np.random.default_rng(2).integers(-1, 2, v.shape[:-1])
    layer.v.assign(v)
    w = to_numpy(layer.effective_kernel)
    np.testing.assert_array_equal(w[..., [0, 2, 3, 4]], 0)
    np.testing.assert_allclose(np.linalg.norm(w[..., 1]), 1, rtol=1e-5)
    found = gradients(layer, x, np.ones((2, 3, 3, 5), "float32"))
    np.testing.assert_array_equal(found["kernel"][..., [0, 2, 3, 4]], 0)
    assert np.all(np.isfinite(found["kernel"])) and np.any(found["kernel"][..., 1] != 0)


@pytest.mark.parametrize("offset", [0.1, 300.0])
def test_filters_that_differ_little_from_a_constant_sum_to_0(offset):
    shape = (3, 3, 512, 4)
    v = (offset * (1 + 1e-4 * np.random.default_rng(0).normal(size=shape))).astype("float32")
    w = to_numpy(keras_wn.reparameterizations.weight_norm(v, axis=(0, 1, 2), center=True))
    exact = v.astype("float64") - v.astype("float64").mean((0, 1, 2))
    exact /= np.sqrt((exact**2).sum((0, 1, 2)))
    np.testing.assert_allclose(w, exact, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(w.sum((0, 1, 2)), 0, atol=1e-4)


def test_a_new_gain_of_a_filter_of_equal_entries_is_0():
    layer = layers.WNDense(3, center=True, kernel_initializer=keras.initializers.Constant(0.1))
    layer.build((None, 1000))
    np.testing.assert_array_equal(to_numpy(layer.g), 0)


def test_a_single_entry_cannot_be_centered():
    for make in (
        lambda: layers.WNConv2D(3, 1, center=True),
        lambda: WeightNormalization(kl.Dense(3), center=True, use_gain=False),
        lambda: layers.WNDense(3, center=True, use_gain=False),
    ):
        with pytest.raises(ValueError, match="filters of a single entry, .* Allowed: center=False"):
            layer = make()
            layer.build((None, 4, 4, 1) if isinstance(layer, layers.WNConv2D) else (None, 1))
    with pytest.raises(ValueError, match="filters of a single entry"):
        layers.WNDepthwiseConv2D(1, center=True).build((None, 4, 4, 3))


def test_scaled_ws_divides_by_the_standard_deviation_and_the_root_of_the_fan_in():
    layer = layers.ScaledWSConv2D(5, 3)
    layer(IMAGES)
    randomize(layer)
    v, g = to_numpy(layer.v).astype("float64"), to_numpy(layer.g)
    axes = (0, 1, 2)
    expected = g * (v - v.mean(axes)) / (v.std(axes) * np.sqrt(3 * 3 * 4))
    np.testing.assert_allclose(to_numpy(layer.effective_kernel), expected, rtol=1e-4, atol=1e-6)
    copy = layers.ScaledWSConv2D.from_config(layer.get_config())
    assert copy.center and copy.use_gain
    for option in ("center", "use_gain"):
        with pytest.raises(ValueError, match=f"ScaledWSConv2D: {option}=False is not allowed"):
            layers.ScaledWSConv2D(5, 3, **{option: False})


def test_center_must_be_a_boolean_and_leaves_no_room_for_a_constraint_of_w():
    with pytest.raises(ValueError, match="WNDense: center='yes' is not allowed. Allowed: True or"):
        layers.WNDense(3, center="yes")
    layer = layers.WNDense(
        3, center=True, kernel_constraint=EffectiveKernelConstraint(keras.constraints.NonNeg())
    )
    with pytest.raises(ValueError, match="center=True cannot hold every w that the constraint"):
        layer(VECTORS)


def test_a_centered_layer_takes_centered_weights_of_a_file_alone(tmp_path):
    plain = keras.Sequential([keras.Input((4,)), kl.Dense(3, name="dense")])
    model = keras.Sequential([keras.Input((4,)), layers.WNDense(3, center=True, name="dense")])
    path = tmp_path / "plain.weights.h5"
    plain.save_weights(path)
    with pytest.raises(ValueError, match="'dense' has center=True and cannot hold a weight whose"):
        interop.load_plain_weights(model, path)
    kernel = plain.layers[0].kernel
    kernel.assign(to_numpy(kernel) - to_numpy(kernel).mean(axis=0))
    plain.save_weights(path)
    interop.load_plain_weights(model, path)
    np.testing.assert_allclose(
        to_numpy(model(VECTORS)), to_numpy(plain(VECTORS)), rtol=1e-4, atol=1e-6
    )
