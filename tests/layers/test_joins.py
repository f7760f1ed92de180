import keras
import numpy as np
import pytest

from keras_wn import data_dependent_init, fold, interop, layers
from tests.helpers import gradients, randomize, to_numpy

IMAGES = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype("float32")
GAUSSIAN = np.random.default_rng(0).normal(size=1_000_000).astype("float32")
X = np.array([[-2.0, -0.5, 0.0, 3.0]], "float32")


def test_scaled_add_keeps_the_variance_of_independent_inputs():
    halves = GAUSSIAN.reshape(2, -1)
    assert abs(to_numpy(layers.ScaledAdd()([halves[0], halves[1]])).var() - 1) < 0.01
    np.testing.assert_array_equal(to_numpy(layers.ScaledAdd(scale=1.0)([X, X])), 2 * X)


def test_weighted_add_starts_as_the_shortcut_and_keeps_variance_at_any_weights():
    branch, shortcut = GAUSSIAN.reshape(2, -1, 4)
    layer = layers.WeightedAdd()
    np.testing.assert_array_equal(to_numpy(layer([branch, shortcut])), shortcut)
    layer.branch_weight.assign([0.5, -1.0, 2.0, 1.0])
    np.testing.assert_allclose(to_numpy(layer([branch, shortcut])).var(axis=0), 1, rtol=0.02)


def test_weighted_add_passes_gradient_to_the_branch_weight_at_its_start():
    class Joined(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.join = layers.WeightedAdd()

        def build(self, shape):
            self.join.build([shape, shape])

        def call(self, x):
            return self.join([2 * x, x])

    joined = Joined()
    joined(X)
    of = gradients(joined, X, np.ones_like(X))
    np.testing.assert_allclose(of["branch_weight"], 2 * X[0], rtol=1e-6)
    np.testing.assert_allclose(of["shortcut_weight"], 0, atol=1e-6)


@pytest.mark.parametrize("layer_class", [layers.ScaledAdd, layers.WeightedAdd])
def test_joins_refuse_inputs_of_other_shapes(layer_class):
    with pytest.raises(ValueError, match=r"\(1, 4\), \(1, 2\)"):
        layer_class()([X, X[:, :2]])
    with pytest.raises(ValueError, match=r"shapes=\[\(1, 4\)\]"):
        layer_class()([X])


def convolution(name):
    return layers.WNConv2D(4, 3, padding="same", use_gain=False, use_bias=False, name=name)


def block(into_kernels, projection):
    """A residual block whose join's weights are in its kernels, or in the join."""
    x = keras.Input(IMAGES.shape[1:])
    branch_scale, shortcut_scale = (
        layers.JoinWeights(4, name="join")(x) if into_kernels else (None, None)
    )
    branch = convolution("branch")(x, scale=branch_scale)
    if projection:
        shortcut = convolution("shortcut")(x, scale=shortcut_scale)
    else:
        shortcut = shortcut_scale * x if into_kernels else x
    add = keras.layers.Add() if into_kernels else layers.WeightedAdd(name="join")
    return keras.Model(x, add([branch, shortcut]))


@pytest.fixture(params=[False, True], ids=["identity", "projection"])
def blocks(request):
    pair = [block(into_kernels, request.param) for into_kernels in (True, False)]
    values = {
        variable.path: np.random.default_rng(1).normal(size=variable.shape)
        for variable in pair[0].weights
    }
    for model in pair:
        for variable in model.weights:
            variable.assign(values[variable.path])
    return pair


def test_weights_in_the_kernels_are_weights_at_the_join_with_the_same_gradients(blocks):
    inside, at_join = blocks
    np.testing.assert_allclose(to_numpy(inside(IMAGES)), to_numpy(at_join(IMAGES)), atol=1e-5)
    cotangent = np.random.default_rng(2).normal(size=IMAGES.shape).astype("float32")
    found, expected = (gradients(model, IMAGES, cotangent) for model in blocks)
    assert set(found) == {"kernel", "branch_weight", "shortcut_weight"}
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, expected[name], atol=1e-4, err_msg=name)


def test_they_fold_into_plain_kernels(blocks):
    folded = fold(blocks[0])
    assert not any(isinstance(layer, layers.WNConv2D) for layer in folded.layers)
    np.testing.assert_allclose(to_numpy(folded(IMAGES)), to_numpy(blocks[0](IMAGES)), atol=1e-5)
    # What no kernel takes, the weight of an identity, is still there.
    projection = any(layer.name == "shortcut" for layer in folded.layers)
    assert any(isinstance(layer, layers.JoinWeights) for layer in folded.layers) is not projection


def test_they_fold_inside_of_other_models(blocks):
    nested = keras.Sequential([keras.Input(IMAGES.shape[1:]), blocks[0], keras.layers.ReLU()])
    np.testing.assert_allclose(to_numpy(fold(nested)(IMAGES)), to_numpy(nested(IMAGES)), atol=1e-5)


def test_a_saved_block_puts_out_the_same(blocks, tmp_path):
    blocks[0].save(tmp_path / "block.keras")
    loaded = keras.saving.load_model(tmp_path / "block.keras")
    np.testing.assert_array_equal(to_numpy(loaded(IMAGES)), to_numpy(blocks[0](IMAGES)))


@pytest.mark.parametrize(
    "layer, inputs",
    [
        (layers.WNConv2D(4, 3, padding="same"), IMAGES),  # The kernel is scaled.
        (layers.WNConv2D(4, 6, log_gain=True), IMAGES),  # The output is.
        (layers.WNConv1D(4, 3, padding="causal"), IMAGES[0]),
        (layers.WNConv3D(4, 2, data_format="channels_first"), IMAGES[None]),
        (layers.WNDense(4, use_gain=False), IMAGES[0, 0]),
        (layers.NormPropDense(4), IMAGES[0, 0]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_scale_multiplies_w_and_not_the_bias(layer, inputs):
    if (
        keras.backend.backend() == "tensorflow"
        and getattr(layer, "data_format", None) == "channels_first"
    ):
        pytest.skip("TensorFlow has no such convolution on a CPU.")
    layer.build(inputs.shape)
    randomize(layer)
    scale = np.array([0.0, -1.0, 2.0, 0.5], "float32")
    shape = [1] * inputs.ndim
    shape[1 if getattr(layer, "data_format", None) == "channels_first" else -1] = 4
    bias = 0 if layer.bias is None else to_numpy(layer.bias).reshape(shape)
    expected = (to_numpy(layer(inputs)) - bias) * scale.reshape(shape) + bias
    np.testing.assert_allclose(to_numpy(layer(inputs, scale=scale)), expected, atol=1e-4)


def test_a_scale_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"'branch': scale has shape \(3,\). Allowed: \(4,\)"):
        convolution("branch")(IMAGES, scale=np.ones(3, "float32"))


@pytest.mark.parametrize("channels", [0, 2.5, None, "4"])
def test_weights_for_no_number_of_channels_are_refused(channels):
    with pytest.raises(ValueError, match=f"channels={channels!r} is not allowed"):
        layers.JoinWeights(channels)


def test_a_constant_scale_folds():
    x = keras.Input(IMAGES.shape[1:])
    model = keras.Model(
        x, convolution("branch")(x, scale=np.array([1.0, 2.0, -1.0, 0.5], "float32"))
    )
    np.testing.assert_allclose(to_numpy(fold(model)(IMAGES)), to_numpy(model(IMAGES)), atol=1e-5)


def test_data_dependent_start_measures_v_without_the_scale():
    x = keras.Input(IMAGES.shape[1:])
    normalized = layers.WNConv2D(4, 3)
    model = keras.Model(x, normalized(x, scale=layers.JoinWeights(4)(x)[0]))  # It starts at 0.
    data_dependent_init(model, IMAGES)
    np.testing.assert_allclose(to_numpy(normalized(IMAGES)).std(axis=(0, 1, 2)), 1, rtol=1e-4)


def test_a_plain_file_is_not_loaded_where_a_scale_is_in_its_kernels(blocks, tmp_path):
    fold(blocks[0]).save_weights(tmp_path / "plain.weights.h5")
    with pytest.raises(ValueError, match="'branch' takes a scale from another layer"):
        interop.load_plain_weights(blocks[0], tmp_path / "plain.weights.h5")


def test_what_pytorch_lacks_is_not_given_to_it():
    pytest.importorskip("torch")
    x, other = keras.Input(IMAGES.shape[1:]), keras.Input(batch_shape=(4,))
    model = keras.Model([x, other], convolution("branch")(x, scale=other))
    with pytest.raises(ValueError, match="'branch' takes its scale from"):
        interop.to_torch_state_dict(model)


def test_a_scale_that_may_depend_on_the_input_is_not_folded():
    x, other = keras.Input(IMAGES.shape[1:]), keras.Input(batch_shape=(4,))
    model = keras.Model(
        [x, other], convolution("branch")(x, scale=keras.layers.Identity(name="given")(other))
    )
    with pytest.raises(
        ValueError,
        match=r"'branch' takes its scale from 'given' \(Identity\). Allowed: JoinWeights",
    ):
        fold(model)


def test_a_layer_with_several_scales_is_not_folded():
    x = keras.Input(IMAGES.shape[1:])
    branch_scale, shortcut_scale = layers.JoinWeights(4)(x)
    shared = convolution("shared")
    model = keras.Model(x, shared(shared(x, scale=branch_scale), scale=shortcut_scale))
    with pytest.raises(ValueError, match="'shared' is called with several scales"):
        fold(model)
