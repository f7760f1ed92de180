"""Checks each weight-normalized layer: the paper's gradients, limiting cases, saving."""

import keras
import numpy as np
import pytest

from keras_wn import layers
from tests.helpers import filter_norms, gradients, randomize, to_numpy
from tests.layers.cases import (
    CASES,
    VECTORS,
    WITH_GRADIENT,
    build,
    by_kernel,
    fan_in,
    norms,
    set_plain,
)


@pytest.mark.parametrize("name", CASES)
def test_equals_the_plain_layer_with_the_effective_kernel(name):
    layer, plain, x = build(name)
    randomize(layer)
    set_plain(plain, layer)
    np.testing.assert_allclose(to_numpy(layer(x)), to_numpy(plain(x)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_starts_as_the_plain_layer_when_the_gain_is_the_norm(name):
    layer, _, _ = build(name)
    v, g, w = (by_kernel(layer, value) for value in (layer.v, layer.g, layer.effective_kernel))
    for kernel, length in norms(name, v).items():
        np.testing.assert_allclose(g[kernel], length.reshape(g[kernel].shape), rtol=1e-6)
        np.testing.assert_allclose(w[kernel], v[kernel], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_strict_form_has_unit_norm_per_output_unit(name):
    layer, _, _ = build(name, use_gain=False)
    randomize(layer)
    for length in norms(name, by_kernel(layer, layer.effective_kernel)).values():
        np.testing.assert_allclose(length, 1, rtol=1e-5)


@pytest.mark.parametrize("name", WITH_GRADIENT)
@pytest.mark.parametrize("use_gain", [True, False])
def test_gradients_are_equation_3_of_the_paper(name, use_gain):
    layer, plain, x = build(name, use_gain=use_gain)
    randomize(layer)
    set_plain(plain, layer)
    cotangent = np.random.default_rng(2).normal(size=layer(x).shape).astype("float32")
    of_plain, actual = gradients(plain, x, cotangent), gradients(layer, x, cotangent)
    kernels = by_kernel(layer, layer.v)
    for kernel, length in norms(name, kernels).items():
        v, of_w = kernels[kernel], of_plain[kernel]
        g = to_numpy(by_kernel(layer, layer.g)[kernel]).reshape(length.shape) if use_gain else 1.0
        of_g = (of_w * v / length).sum(axis=fan_in(name, kernel, v), keepdims=True)
        of_v = g / length * of_w - g * of_g / length**2 * v
        np.testing.assert_allclose(actual[kernel], of_v, rtol=5e-4, atol=5e-5)
        if use_gain:
            np.testing.assert_allclose(
                actual[f"{kernel}_g"],
                of_g.reshape(actual[f"{kernel}_g"].shape),
                rtol=5e-4,
                atol=5e-5,
            )


@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_gradient_of_v_is_orthogonal_to_v(name):
    layer, _, x = build(name)
    randomize(layer)
    cotangent = np.random.default_rng(2).normal(size=layer(x).shape).astype("float32")
    actual = gradients(layer, x, cotangent)
    for kernel, v in by_kernel(layer, layer.v).items():
        products = (actual[kernel] * v).sum(axis=fan_in(name, kernel, v))
        np.testing.assert_allclose(products / np.abs(actual[kernel] * v).sum(), 0, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_calling_changes_no_variable(name):
    layer, _, x = build(name)
    randomize(layer)
    before = [to_numpy(v).copy() for v in layer.variables]
    layer(x)
    for old, variable in zip(before, layer.variables, strict=True):
        np.testing.assert_array_equal(old, to_numpy(variable))


@pytest.mark.parametrize("name", CASES)
def test_saved_and_loaded_layer_puts_out_the_same(name, tmp_path):
    layer, _, x = build(name)
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype.name), layer])
    randomize(layer)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(to_numpy(loaded(x)), to_numpy(model(x)))
    for ours, theirs in zip(layer.variables, loaded.layers[0].variables, strict=True):
        np.testing.assert_array_equal(to_numpy(theirs), to_numpy(ours))


def test_gain_is_trainable_and_strict_form_has_none():
    layer, _, _ = build("dense")
    assert {v.name for v in layer.trainable_variables} == {"kernel", "kernel_g", "bias"}
    strict, _, _ = build("dense", use_gain=False)
    assert strict.g is None and {v.name for v in strict.trainable_variables} == {"kernel", "bias"}


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_half_and_norms_in_full(policy):
    layer, plain, x = build("dense", dtype=policy)
    layer.v.assign(to_numpy(layer.v) * 1e-4)  # Squares that underflow in float16.
    assert keras.backend.standardize_dtype(layer(x).dtype) == policy.removeprefix("mixed_")
    assert layer.v.dtype == layer.g.dtype == "float32"
    np.testing.assert_allclose(filter_norms(layer.effective_kernel), to_numpy(layer.g), rtol=1e-5)
    set_plain(plain, layer)
    np.testing.assert_allclose(
        to_numpy(keras.ops.cast(layer(x), "float32")), to_numpy(plain(x)), rtol=0.02, atol=0.02
    )


def test_regularizer_acts_on_v():
    layer, _, x = build("dense", kernel_regularizer=keras.regularizers.L2(1.0))
    layer(x)
    np.testing.assert_allclose(to_numpy(layer.losses[0]), np.sum(to_numpy(layer.v) ** 2), rtol=1e-5)


def test_constraint_acts_on_v():
    layer, _, x = build("dense", kernel_constraint=keras.constraints.NonNeg())
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    assert np.any(to_numpy(layer.v) < 0)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    model.train_on_batch(x, np.ones((5, 3), "float32"))
    assert np.all(to_numpy(layer.v) >= 0)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
def test_float64_is_computed_in_float64():
    layer, _, _ = build("dense", dtype="float64")
    rng = np.random.default_rng(3)
    v, g = rng.normal(size=(4, 3)), rng.normal(size=3)
    layer.v.assign(v)
    layer.g.assign(g)
    # JAX holds float64 in float32 unless it is told otherwise.
    rtol = 1e-14 if to_numpy(layer.v.value).dtype == "float64" else 1e-6
    np.testing.assert_allclose(
        to_numpy(layer.effective_kernel), g * v / np.linalg.norm(v, axis=0), rtol=rtol
    )


def test_embedding_starts_at_the_weights_that_it_is_given():
    matrix = np.random.default_rng(4).normal(size=(6, 4)).astype("float32")
    for weights in (matrix, [matrix]):
        layer = layers.WNEmbedding(6, 4, weights=weights)
        np.testing.assert_allclose(to_numpy(layer.effective_kernel), matrix, rtol=1e-5)


def test_einsum_that_contracts_nothing_is_refused():
    with pytest.raises(ValueError, match="equation='ab,b->ab' contracts no axis of its kernel"):
        layers.WNEinsumDense("ab,b->ab", output_shape=4)(VECTORS)


def test_fit_trains_v_and_g():
    layer, _, x = build("dense")
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    before = [to_numpy(v).copy() for v in layer.trainable_variables]
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    model.fit(x, np.ones((5, 3), "float32"), epochs=2, verbose=0)
    assert all(
        np.any(old != to_numpy(v)) for old, v in zip(before, layer.trainable_variables, strict=True)
    )


def test_weights_file_of_a_plain_layer_is_refused_and_changes_nothing(tmp_path):
    layer, plain, x = build("dense")
    keras.Sequential([keras.Input(x.shape[1:]), plain]).save_weights(tmp_path / "plain.weights.h5")
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    before = to_numpy(layer.v).copy()
    with pytest.raises(
        ValueError, match=r"expected the variables \['bias', 'kernel', 'kernel_g'\]"
    ):
        model.load_weights(tmp_path / "plain.weights.h5")
    np.testing.assert_array_equal(to_numpy(layer.v), before)


def test_lora_and_quantization_are_refused():
    with pytest.raises(
        ValueError, match=r"WNDense does not support lora_rank. Received: lora_rank=2"
    ):
        layers.WNDense(3, lora_rank=2)
    layer, _, _ = build("dense")
    with pytest.raises(NotImplementedError, match="rank=2"):
        layer.enable_lora(2)
    with pytest.raises(NotImplementedError, match="'int8'"):
        layer.quantize("int8")
    with pytest.raises(ValueError, match="dtype='int8_from_float32'"):
        layers.WNDense(3, dtype="int8_from_float32")
