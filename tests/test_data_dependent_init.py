import keras
import numpy as np
import pytest

import keras_wn
from keras_wn.layers import WNConv2D, WNDense
from tests.helpers import to_numpy

BATCH = np.random.default_rng(0).normal(3.0, 2.0, (64, 8, 8, 3)).astype("float32")


def residual_net():
    """Two blocks whose kernels have norms far from 1, one after an activation inside a layer."""
    long = keras.initializers.RandomNormal(stddev=3.0)
    short = keras.initializers.RandomNormal(stddev=0.001)
    x = inputs = keras.Input((8, 8, 3))
    x = WNConv2D(6, 3, padding="same", kernel_initializer=long, name="stem")(x)
    for i in (1, 2):
        branch = WNConv2D(
            6, 3, padding="same", activation="relu", kernel_initializer=short, name=f"a{i}"
        )(x)
        branch = WNConv2D(6, 3, padding="same", kernel_initializer=long, name=f"b{i}")(branch)
        x = keras.layers.Add()([x, branch])
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, WNDense(4, kernel_initializer=short, name="head")(x))


def pre_activations(model, batch):
    """The outputs of each weight-normalized layer before its activation, in the whole net."""
    names = [layer.name for layer in model.layers if hasattr(layer, "effective_kernel")]
    found = {}
    for name in names:
        layer = model.get_layer(name)
        x = to_numpy(keras.Model(model.input, layer.input)(batch))
        activation, layer.activation = layer.activation, None
        found[name] = to_numpy(layer(x))
        layer.activation = activation
    return found


@pytest.mark.parametrize("init_scale", [1.0, 0.1])
def test_every_layer_of_a_residual_net_gets_mean_0_and_the_scale_per_channel(init_scale):
    model = residual_net()
    keras_wn.data_dependent_init(model, BATCH, init_scale=init_scale)
    outputs = pre_activations(model, BATCH)
    assert set(outputs) == {"stem", "a1", "b1", "a2", "b2", "head"}
    for name, y in outputs.items():
        y = y.reshape(-1, y.shape[-1]).astype("float64")
        np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(y.std(axis=0), init_scale, rtol=1e-3, err_msg=name)


def test_gain_and_bias_are_equations_5_and_6():
    layer = WNDense(3)
    model = keras.Sequential([keras.Input((5,)), layer])
    x = np.random.default_rng(1).normal(2.0, 4.0, (100, 5)).astype("float32")
    v = to_numpy(layer.v)
    t = x @ v / np.linalg.norm(v, axis=0)
    keras_wn.data_dependent_init(model, x, init_scale=0.5)
    np.testing.assert_allclose(to_numpy(layer.g), 0.5 / t.std(axis=0), rtol=1e-4)
    np.testing.assert_allclose(
        to_numpy(layer.bias), -t.mean(axis=0) * 0.5 / t.std(axis=0), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(to_numpy(layer.v), v)


EINSUM = np.random.default_rng(2).normal(3.0, 2.0, (32, 6, 4)).astype("float32")


@pytest.mark.parametrize(
    "arguments, axes",
    [
        ({"equation": "abc,cde->abde", "output_shape": (None, 2, 3), "bias_axes": "de"}, (0, 1)),
        ({"equation": "abc,cde->abed", "output_shape": (None, 3, 2), "bias_axes": "ed"}, (0, 1)),
        ({"equation": "abc,cd->adb", "output_shape": (3, None), "bias_axes": "d"}, (0, 2)),
        ({"equation": "...x,xy->...y", "output_shape": 3, "bias_axes": "y"}, (0, 1)),
    ],
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_einsum_layer(arguments, axes, wrapped):
    if wrapped:
        layer = keras_wn.layers.WeightNormalization(keras.layers.EinsumDense(**arguments))
    else:
        layer = keras_wn.layers.WNEinsumDense(**arguments)
    model = keras.Sequential([keras.Input((6, 4)), layer])
    keras_wn.data_dependent_init(model, EINSUM)
    y = to_numpy(model(EINSUM))
    np.testing.assert_allclose(y.mean(axis=axes), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(axis=axes), 1, rtol=1e-3)


def test_einsum_layer_whose_bias_lacks_an_axis_of_its_gain():
    layer = keras_wn.layers.WNEinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="e")
    keras_wn.data_dependent_init(keras.Sequential([keras.Input((6, 4)), layer]), EINSUM)
    y = to_numpy(layer(EINSUM))
    np.testing.assert_allclose(y.std(axis=(0, 1)), 1, rtol=1e-3)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-4)


@pytest.mark.parametrize(
    "layer, x",
    [
        (lambda: keras_wn.layers.WNSeparableConv2D(5, 3, depth_multiplier=2), BATCH),
        (lambda: keras_wn.layers.WNSeparableConv1D(5, 3), EINSUM),
        (lambda: keras_wn.layers.WeightNormalization(keras.layers.SeparableConv1D(5, 3)), EINSUM),
        (lambda: keras_wn.layers.WNConv2DTranspose(5, 3, log_gain=True), BATCH),
        (lambda: keras_wn.layers.WNDepthwiseConv2D(3, depth_multiplier=2), BATCH),
    ],
)
def test_other_convolutions(layer, x):
    model = keras.Sequential([keras.Input(x.shape[1:]), layer()])
    keras_wn.data_dependent_init(model, x)
    y = to_numpy(model(x))
    y = y.reshape(-1, y.shape[-1]).astype("float64")
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(axis=0), 1, rtol=1e-3)


def test_separable_layer_without_a_gain_of_its_pointwise_kernel_stays():
    layer = keras_wn.layers.WeightNormalization(
        keras.layers.SeparableConv1D(5, 3), weights=["depthwise_kernel"]
    )
    model = keras.Sequential([keras.Input((6, 4)), layer], name="m")
    with pytest.raises(ValueError, match="model 'm' has no weight-normalized layer"):
        keras_wn.data_dependent_init(model, EINSUM)


class Own(keras.Model):
    """A model that Keras builds by its first call."""

    def __init__(self):
        super().__init__()
        self.first = WNDense(5, activation="relu")
        self.second = WNDense(3)

    def call(self, x):
        return self.second(self.first(x))


@pytest.mark.parametrize("make", [lambda: keras.Sequential([WNDense(5), WNDense(3)]), Own])
def test_a_model_that_is_not_built_is_built_by_the_batch(make):
    model = make()
    keras_wn.data_dependent_init(model, EINSUM)
    y = to_numpy(model(EINSUM))
    np.testing.assert_allclose(y.mean(axis=(0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(axis=(0, 1)), 1, rtol=1e-3)


MIXED = {
    "dense": lambda: WNDense(3),
    "log_gain": lambda: WNDense(3, log_gain=True),
    "convolution": lambda: keras_wn.layers.WNConv1D(3, 2),
    "einsum": lambda: keras_wn.layers.WNEinsumDense("abc,cd->abd", (None, 3), bias_axes="d"),
    "wrapped": lambda: keras_wn.layers.WeightNormalization(keras.layers.Conv1D(3, 2)),
    "wrapped_log_gain": lambda: keras_wn.layers.WeightNormalization(
        keras.layers.Dense(3), log_gain=True
    ),
}


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_sets_g_and_b_in_float32(policy, name):
    def set_by(policy):
        keras.config.set_dtype_policy(policy)
        keras.utils.set_random_seed(0)
        layer = MIXED[name]()
        model = keras.Sequential([keras.Input((6, 4)), layer])
        keras_wn.data_dependent_init(model, EINSUM)
        y = to_numpy(keras.ops.cast(model(EINSUM), "float32"))
        return y.reshape(-1, 3), [to_numpy(v) for v in layer.variables if len(v.shape) == 1]

    y, variables = set_by(policy)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(y.std(axis=0), 1, rtol=0.02)
    half = keras.config.dtype_policy().compute_dtype
    _, exact = set_by("float32")
    assert len(variables) == 2
    for value, expected in zip(variables, exact, strict=True):
        np.testing.assert_allclose(value, expected, atol=0.03)
        rounded = to_numpy(keras.ops.cast(keras.ops.cast(value, half), "float32"))
        assert np.any(value != rounded)


def test_mixed_precision_sets_the_moving_means_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = centered_net()
    keras_wn.data_dependent_init(model, BATCH)
    y = to_numpy(keras.ops.cast(model(BATCH), "float32"))
    last = model.get_layer("c_bn").moving_mean
    assert np.any(to_numpy(last) != to_numpy(keras.ops.cast(last, "bfloat16")).astype("float32"))
    # Of a standard normal x, relu(x) has the mean 0.4.
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0.4, atol=0.1)


def test_frozen_layers_keep_what_they_have():
    model = residual_net()
    for name in ("a1", "head"):
        model.get_layer(name).trainable = False
    model.get_layer("b1").bias.trainable = False
    frozen = {name: model.get_layer(name).get_weights() for name in ("a1", "head")}
    bias = to_numpy(model.get_layer("b1").bias).copy()
    keras_wn.data_dependent_init(model, BATCH)
    for name, weights in frozen.items():
        for before, after in zip(weights, model.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(before, after, err_msg=name)
    np.testing.assert_array_equal(to_numpy(model.get_layer("b1").bias), bias)
    outputs = pre_activations(model, BATCH)
    for name in ("stem", "b1", "a2", "b2"):
        np.testing.assert_allclose(outputs[name].std(axis=(0, 1, 2)), 1, rtol=1e-3, err_msg=name)
    assert np.all(np.abs(outputs["head"].std(axis=0) - 1) > 0.01)


def test_a_frozen_sub_model_and_a_frozen_mean_keep_what_they_have():
    inner = centered_net()
    model = keras.Sequential([inner, WNDense(3)])
    inner.trainable = False
    before = inner.get_weights()
    keras_wn.data_dependent_init(model, BATCH)
    for old, new in zip(before, inner.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(ValueError, match="has no weight-normalized layer with a gain that is not"):
        keras_wn.data_dependent_init(inner, BATCH)


@pytest.mark.parametrize(
    "layers, chosen",
    [
        ("a1", {"a1"}),
        (["stem", "head"], {"stem", "head"}),
        (WNDense, {"head"}),
        (lambda layer: layer.name.startswith("b"), {"b1", "b2"}),
        ([WNDense, "b2"], {"head", "b2"}),
    ],
)
def test_layers_chooses_those_that_are_set(layers, chosen):
    model = residual_net()
    names = {"stem", "a1", "b1", "a2", "b2", "head"}
    before = {name: model.get_layer(name).get_weights() for name in names}
    keras_wn.data_dependent_init(model, BATCH, layers=layers)
    changed = {
        name
        for name in names
        if any(
            np.any(old != new)
            for old, new in zip(before[name], model.get_layer(name).get_weights(), strict=True)
        )
    }
    assert changed == chosen
    outputs = pre_activations(model, BATCH)
    for name in chosen:
        y = outputs[name].reshape(64, -1, outputs[name].shape[-1])
        np.testing.assert_allclose(y.std(axis=(0, 1)), 1, rtol=1e-3)


def test_layers_that_cannot_be_set_are_refused():
    model = residual_net()
    model.get_layer("a1").trainable = False
    for layers in ("a1", "nothing", keras.layers.Add, lambda layer: False):
        with pytest.raises(ValueError, match="layers=.* selects no such layer .*Allowed: a2, b1"):
            keras_wn.data_dependent_init(model, BATCH, layers=layers)


def test_scale_may_depend_on_the_layer():
    model = residual_net()
    keras_wn.data_dependent_init(
        model, BATCH, init_scale=lambda layer: 0.1 if layer.name.startswith("b") else 1.0
    )
    outputs = pre_activations(model, BATCH)
    np.testing.assert_allclose(outputs["b2"].std(axis=(0, 1, 2)), 0.1, rtol=1e-3)
    np.testing.assert_allclose(outputs["a2"].std(axis=(0, 1, 2)), 1.0, rtol=1e-3)


def test_layer_without_bias_gets_its_scale_only():
    layer = WNDense(3, use_bias=False)
    model = keras.Sequential([keras.Input((5,)), layer])
    x = np.random.default_rng(1).normal(2.0, 4.0, (100, 5)).astype("float32")
    keras_wn.data_dependent_init(model, x)
    y = to_numpy(model(x))
    np.testing.assert_allclose(y.std(axis=0), 1, rtol=1e-4)
    assert np.all(np.abs(y.mean(axis=0)) > 0.01)


def centered_net():
    x = inputs = keras.Input((8, 8, 3))
    for name in ("a", "b", "c"):
        x = WNConv2D(6, 3, padding="same", use_bias=False, name=name)(x)
        x = keras_wn.layers.MeanOnlyBatchNormalization(name=f"{name}_bn")(x)
        x = keras.layers.ReLU()(x)
    return keras.Model(inputs, x)


def test_mean_only_batch_norm_starts_from_the_batchs_mean():
    model = centered_net()
    keras_wn.data_dependent_init(model, BATCH)
    outputs = keras.Model(model.input, [model.get_layer(f"{name}_bn").output for name in "abc"])
    in_inference = [to_numpy(y) for y in outputs(BATCH, training=False)]
    for y in in_inference:
        np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(y.std(axis=(0, 1, 2)), 1, rtol=1e-3)
    for y, in_training in zip(in_inference, outputs(BATCH, training=True), strict=True):
        np.testing.assert_allclose(y, to_numpy(in_training), atol=1e-4)


def test_failure_leaves_moving_means_as_they_were():
    model = centered_net()
    model.get_layer("c").v.assign(
        np.full((3, 3, 6, 6), np.nan)
    )  # The layers before it are set by then.
    before = model.get_weights()
    with pytest.raises(ValueError, match="layer 'c' is not finite"):
        keras_wn.data_dependent_init(model, BATCH)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_shared_layer_is_set_by_its_first_call():
    shared = WNDense(5)
    inputs = keras.Input((5,))
    first = shared(inputs)
    model = keras.Model(inputs, [first, shared(first)])
    x = np.random.default_rng(1).normal(2.0, 4.0, (100, 5)).astype("float32")
    keras_wn.data_dependent_init(model, x)
    np.testing.assert_allclose(to_numpy(model(x)[0]).std(axis=0), 1, rtol=1e-4)


def test_model_runs_as_before_afterwards():
    model = residual_net()
    keras_wn.data_dependent_init(model, BATCH)
    assert not any("call" in vars(layer) for layer in model.layers)
    assert model.get_layer("a1").activation is keras.activations.relu
    model.compile(optimizer="sgd", loss="mse")
    model.fit(BATCH, np.zeros((64, 4), "float32"), verbose=0)


def test_constant_channel_keeps_a_finite_gain_and_warns():
    model = keras.Sequential([keras.Input((5,)), WNDense(3)])
    with pytest.warns(UserWarning, match="channels that are constant"):
        keras_wn.data_dependent_init(model, np.ones((10, 5), "float32"))
    np.testing.assert_allclose(to_numpy(model.layers[0].g), 1.0)


def test_scale_0_makes_the_outputs_0():
    model = keras.Sequential([keras.Input((4,)), keras_wn.layers.WNDense(3)])
    x = np.random.default_rng(0).normal(5.0, 2.0, (16, 4)).astype("float32")
    keras_wn.data_dependent_init(model, x, init_scale=0.0)
    np.testing.assert_array_equal(to_numpy(model(x)), 0)


@pytest.mark.parametrize("init_scale", [-1.0, float("nan")])
def test_scale_below_0_is_refused(init_scale):
    with pytest.raises(ValueError, match=f"init_scale={init_scale}"):
        keras_wn.data_dependent_init(residual_net(), BATCH, init_scale=init_scale)


def test_batch_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="layer 'stem' is not finite"):
        keras_wn.data_dependent_init(residual_net(), np.full_like(BATCH, np.inf))


def test_model_without_such_layers_is_refused():
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(3), WNDense(2, use_gain=False)], name="plain"
    )
    with pytest.raises(ValueError, match="model 'plain' has no weight-normalized layer"):
        keras_wn.data_dependent_init(model, np.ones((10, 5), "float32"))


def test_failure_leaves_gains_and_biases_as_they_were():
    model = residual_net()
    before = model.get_weights()
    bad = BATCH.copy()
    bad[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        keras_wn.data_dependent_init(model, bad)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_layers_in_loops_and_with_other_axes_keep_what_they_have():
    layers = [
        keras.layers.TimeDistributed(WNDense(4)),
        keras_wn.layers.WeightNormalization(keras.layers.Dense(4), axis=1),
        keras.layers.RNN(
            keras_wn.layers.WeightNormalization(keras.layers.LSTMCell(4)), return_sequences=True
        ),
        WNDense(4),
    ]
    model = keras.Sequential([keras.Input((6, 4)), *layers])
    before = [model.layers[i].get_weights() for i in range(3)]
    keras_wn.data_dependent_init(model, EINSUM)
    for old, layer in zip(before, model.layers, strict=False):
        for a, b in zip(old, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(to_numpy(model(EINSUM)).std(axis=(0, 1)), 1, rtol=1e-3)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return BATCH[32 * index : 32 * index + 32], np.zeros(32)


class NoBatches(Batches):
    def __len__(self):
        return 0


def tensorflow_dataset():
    tf = pytest.importorskip(
        "tensorflow", reason="tf.data is TensorFlow's; the TensorFlow session has it"
    )
    return tf.data.Dataset.from_tensor_slices((BATCH, np.zeros(64))).batch(32)


def torch_loader():
    data = pytest.importorskip(
        "torch.utils.data", reason="DataLoader is PyTorch's; the PyTorch session has it"
    )
    import torch

    return data.DataLoader(data.TensorDataset(torch.tensor(BATCH), torch.zeros(64)), batch_size=32)


def generator():
    yield BATCH[:32], np.zeros(32)
    yield BATCH[32:], np.zeros(32)


@pytest.mark.parametrize(
    "make",
    [
        Batches,
        tensorflow_dataset,
        torch_loader,
        generator,
        lambda: iter([BATCH[:32]]),
        lambda: BATCH[:32],
    ],
)
def test_first_batch_of_what_fit_takes(make):
    model = residual_net()
    before = model.get_weights()
    keras_wn.data_dependent_init(model, BATCH[:32])
    expected = model.get_weights()
    model.set_weights(before)
    keras_wn.data_dependent_init(model, make())
    for found, value in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)


def test_inputs_by_name_and_data_without_a_batch():
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,), name="b")}
    model = keras.Model(inputs, WNDense(3)(inputs["a"] + inputs["b"]))
    batch = {"a": np.random.default_rng(0).normal(size=(16, 4)), "b": np.ones((16, 4))}
    keras_wn.data_dependent_init(model, batch)
    expected = model.get_weights()
    keras_wn.data_dependent_init(model, iter([(batch, np.zeros(16))]))
    for found, value in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5)
    for empty in (iter([]), NoBatches()):
        with pytest.raises(ValueError, match="gives no batch. Allowed: at least one"):
            keras_wn.data_dependent_init(model, empty)
