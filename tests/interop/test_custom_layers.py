"""Folds, normalizes and loads a user's own layers around others, attribute by attribute."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn.interop import load_plain_weights
from keras_wn.layers import WeightNormalization, WNConv1D, WNDense
from tests.helpers import randomize, to_numpy

SERIES = np.random.default_rng(0).normal(size=(2, 6, 4)).astype("float32")


@keras.saving.register_keras_serializable(package="tests")
class Residual(kl.Layer):
    """A residual block whose layers are attributes, in a list, in a dict or made in `build`.

    One of them has two names.
    """

    def __init__(self, filters, conv=WNConv1D, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.first = conv(filters, 3, padding="causal")
        self.branches = [conv(filters, 1), kl.Conv1D(filters, 1)]
        self.ends = {
            "end": WeightNormalization(kl.Conv1D(filters, 1)),
            "nothing": kl.Activation("relu"),
        }
        self.also_first = self.first
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def build(self, shape):
        self.shortcut = WNDense(self.filters, use_bias=False)
        self.shortcut.build(shape)

    def call(self, x):
        y = keras.ops.relu(self.also_first(x)) * self.scale
        y = self.branches[0](y) + self.branches[1](y)
        return self.ends["nothing"](self.ends["end"](y) + self.shortcut(x))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable(package="tests")
class Stack(kl.Layer):
    """Blocks in a block; without a `build` of its own, as most users write it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [Residual(3), Residual(4)]

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return x


@keras.saving.register_keras_serializable(package="tests")
class Net(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stack, self.head = Stack(), WNDense(2)

    def call(self, x):
        return self.head(self.stack(x))


def functional():
    inputs = keras.Input((6, 4))
    shared = WNDense(4)
    x = shared(Residual(4, name="residual")(inputs))
    return keras.Model(inputs, WNDense(2)(shared(x)))


def subclassed():
    model = Net()
    model(SERIES)
    return model


def stacked_cells():
    cells = [
        WeightNormalization(kl.LSTMCell(3)),
        kl.GRUCell(3),
        WeightNormalization(kl.SimpleRNNCell(2)),
    ]
    return keras.Sequential([keras.Input((6, 4)), kl.RNN(cells), WNDense(2)])


def wrapped_in_keras_layers():
    layers = [
        kl.TimeDistributed(WNDense(3)),
        kl.RNN(WeightNormalization(kl.LSTMCell(3)), return_sequences=True),
    ]
    return keras.Sequential([keras.Input((6, 4)), *layers, kl.Flatten(), WNDense(2)])


MODELS = {
    make.__name__: make for make in (functional, subclassed, stacked_cells, wrapped_in_keras_layers)
}


class InOrder(keras.Model):
    """Layers that are attributes, and between them some in a list."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.blocks, self.last = kl.Dense(4), [kl.Dense(4), Residual(4)], kl.Dense(4)

    def call(self, x):
        return self.last(self.blocks[1](self.blocks[0](self.first(x))))


def test_layers_stay_in_their_order():
    model = InOrder()
    model(SERIES)
    normalized = keras_wn.weight_norm(model)
    folded = keras_wn.fold(normalized)

    def kinds(model):
        return [type(layer).__name__.removeprefix("WN") for layer in model.layers]

    assert kinds(normalized) == kinds(folded) == kinds(model)
    np.testing.assert_array_equal(to_numpy(folded.layers[-1].bias), to_numpy(model.last.bias))
    plain = keras_wn.fold(model)
    plain.set_weights(folded.get_weights())
    np.testing.assert_allclose(
        to_numpy(plain(SERIES)), to_numpy(model(SERIES)), rtol=1e-4, atol=1e-4
    )


@keras.saving.register_keras_serializable(package="tests")
class WithoutSuper(kl.Layer):
    """Its configuration has nothing of Keras'."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = WNDense(3)

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {}


def test_name_and_policy_and_frozen_state_are_kept_of_a_layer_whose_config_has_none():
    layer = WithoutSuper(name="block", dtype="mixed_bfloat16")
    layer.trainable = False
    folded = keras_wn.fold(keras.Sequential([keras.Input((6, 4)), layer]))
    found = folded.layers[0]
    assert (found.name, found.dtype_policy.name, found.trainable) == (
        "block",
        "mixed_bfloat16",
        False,
    )


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize`:UserWarning")
@pytest.mark.filterwarnings("ignore:WNDense cannot be quantized:UserWarning")
def test_quantized_layer_beside_a_normalized_one():
    model = keras.Sequential([keras.Input((4,)), WNDense(3), kl.Dense(2)])
    model.quantize("int8")
    x = SERIES[:, 0]
    np.testing.assert_allclose(
        to_numpy(keras_wn.fold(model)(x)), to_numpy(model(x)), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ValueError, match="kernel is quantized"):
        keras_wn.weight_norm(model)


def layers_of_ours(model):
    return [
        type(layer)
        for layer in model._flatten_layers()
        if type(layer).__module__.startswith("keras_wn")
    ]


@pytest.mark.parametrize("name", MODELS)
def test_fold_leaves_no_layer_of_ours_and_the_same_outputs(name, tmp_path):
    model = MODELS[name]()
    randomize(model)
    expected = to_numpy(model(SERIES))
    folded = keras_wn.fold(model)
    assert layers_of_ours(model) and not layers_of_ours(folded)
    np.testing.assert_allclose(to_numpy(folded(SERIES)), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(to_numpy(model(SERIES)), expected)
    # A file of the folded model's weights goes back into the model.
    folded.save_weights(tmp_path / "folded.weights.h5")
    randomize(model, seed=1)
    load_plain_weights(model, tmp_path / "folded.weights.h5")
    np.testing.assert_allclose(to_numpy(model(SERIES)), expected, rtol=1e-4, atol=1e-4)
    # A folded model is folded and normalized as any other, though `__init__` makes other layers.
    again = keras_wn.fold(keras_wn.weight_norm(folded))
    np.testing.assert_allclose(to_numpy(again(SERIES)), expected, rtol=1e-4, atol=1e-4)


# Keras warns so of every file with a layer whose sublayers are built at their first call.
@pytest.mark.filterwarnings("ignore:`build.*was called on layer 'stack':UserWarning")
@pytest.mark.parametrize("name", MODELS)
def test_model_is_saved_and_trained(name, tmp_path):
    model = MODELS[name]()
    model.compile("sgd", "mse")
    shape = to_numpy(model(SERIES)).shape
    model.fit(SERIES, np.ones(shape), verbose=0)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        to_numpy(keras.models.load_model(tmp_path / "model.keras")(SERIES)), to_numpy(model(SERIES))
    )
    folded = keras_wn.fold(model)
    folded.fit(SERIES, np.ones(shape), verbose=0)


def test_batch_normalization_beside_a_custom_layer_is_folded():
    inputs = keras.Input((6, 4))
    x = kl.BatchNormalization()(WNConv1D(3, 2)(Residual(4)(inputs)))
    model = keras.Model(inputs, x)
    randomize(model)
    model.layers[-1].moving_variance.assign([0.5, 1.5, 2.0])
    folded = keras_wn.fold(model, fold_bn=True)
    assert not any(isinstance(layer, kl.BatchNormalization) for layer in folded.layers)
    np.testing.assert_allclose(
        to_numpy(folded(SERIES)), to_numpy(model(SERIES)), rtol=1e-4, atol=1e-4
    )


def test_weight_norm_reaches_the_plain_kernels_beside_normalized_ones():
    model = functional()
    randomize(model)
    normalized = keras_wn.weight_norm(model)
    np.testing.assert_allclose(
        to_numpy(normalized(SERIES)), to_numpy(model(SERIES)), rtol=1e-4, atol=1e-4
    )
    block = normalized.get_layer("residual")
    assert [type(layer).__name__ for layer in block.branches] == ["WNConv1D", "WNConv1D"]
    assert block.also_first is block.first


def test_layer_that_cannot_be_made_again_is_named():
    class NoConfig(kl.Layer):
        def __init__(self, dense, **kwargs):
            super().__init__(**kwargs)
            self.dense = dense

        def call(self, x):
            return self.dense(x)

    model = keras.Sequential([keras.Input((4,)), NoConfig(WNDense(3), name="mine")])
    with pytest.raises(
        ValueError, match="Layer 'mine' .NoConfig. cannot be made again from its get_config"
    ):
        keras_wn.fold(model)


def test_layers_held_in_a_way_that_cannot_be_replaced_are_named():
    class Holder:
        def __init__(self, layer):
            self.layer = layer

    class Hidden(kl.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            dense = WNDense(3, name="deep")
            self._tracker.track(dense)
            self.holder = Holder(dense)

        def call(self, x):
            return self.holder.layer(x)

    model = keras.Sequential([keras.Input((4,)), Hidden(name="hidden")])
    with pytest.raises(
        ValueError, match="'hidden' .Hidden. holds layer 'deep' in a way that cannot be replaced"
    ):
        keras_wn.fold(model)


@keras.saving.register_keras_serializable(package="tests")
class PlainBlock(kl.Layer):
    """As most programs write a block: plain layers, and no `build`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = (
            kl.Conv1D(4, 3, padding="same", name="first"),
            kl.Conv1D(4, 1, name="second"),
        )
        self.norm, self.dropout = kl.BatchNormalization(), kl.Dropout(0.1)

    def call(self, x, training=None):
        y = self.norm(self.second(keras.ops.relu(self.first(x))))
        return x + self.dropout(y, training=training)


# Keras warns so of every file with a layer whose sublayers are built at their first call.
@pytest.mark.filterwarnings("ignore:`build.*was called on layer 'block':UserWarning")
def test_plain_block_is_normalized_as_a_whole_or_in_part(tmp_path):
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, kl.Dense(2)(PlainBlock(name="block")(inputs)))
    whole = keras_wn.weight_norm(model)
    assert type(whole.get_layer("block")) is WeightNormalization
    whole.save(tmp_path / "whole.keras")
    loaded = keras.models.load_model(tmp_path / "whole.keras")
    part = keras_wn.weight_norm(model, layers="first")
    block = part.get_layer("block")
    assert type(block.first) is WNConv1D and type(block.second) is kl.Conv1D
    for other in (whole, loaded, part, keras_wn.fold(whole), keras_wn.fold(part)):
        np.testing.assert_allclose(
            to_numpy(other(SERIES)), to_numpy(model(SERIES)), rtol=1e-4, atol=1e-5
        )


SCALARS = {
    "skip": lambda: keras_wn.layers.SkipInit(factor=0.5, name="scalar"),
    "gain": lambda: keras_wn.layers.ScalarGain(name="scalar"),
    "bias": lambda: keras_wn.layers.ScalarBias(name="scalar"),
}


@keras.saving.register_keras_serializable("tests")
class ScalarBlock(kl.Layer):
    """A residual block with a scalar, and with one in a list and one in a model."""

    def __init__(self, kind, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind
        self.dense = WNDense(4, name="dense")
        self.scalar = SCALARS[kind]()
        self.others = [SCALARS[kind]()]
        self.inner = keras.Sequential([SCALARS[kind](), WNDense(4)])

    def build(self, shape):
        for layer in (self.dense, self.scalar, *self.others, self.inner):
            layer.build(shape)

    def call(self, x):
        return x + self.inner(self.others[0](self.scalar(self.dense(x))))

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


@pytest.mark.parametrize("kind", SCALARS)
@pytest.mark.parametrize("blocks", [1, 2])
def test_weights_of_a_folded_block_hold_its_scalars(kind, blocks, tmp_path):
    def make():
        x = inputs = keras.Input((4,))
        for i in range(blocks):
            x = ScalarBlock(kind, name=f"block{i or ''}")(x)
        return keras.Model(inputs, x)

    model = make()
    randomize(model)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    expected = to_numpy(model(x))
    folded = keras_wn.fold(model)
    np.testing.assert_allclose(to_numpy(folded(x)), expected, rtol=1e-4, atol=1e-5)
    assert type(folded.get_layer("block").dense) is kl.Dense
    folded.save_weights(tmp_path / "folded.weights.h5")
    fresh = keras_wn.fold(make())
    fresh.load_weights(tmp_path / "folded.weights.h5")
    np.testing.assert_allclose(to_numpy(fresh(x)), expected, rtol=1e-4, atol=1e-5)
    back = make()
    keras_wn.interop.load_plain_weights(back, tmp_path / "folded.weights.h5")
    np.testing.assert_allclose(to_numpy(back(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", SCALARS)
def test_scalars_in_layers_around_them_and_chosen_ones_are_folded(kind, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((3, 4)),
            WNDense(4, name="first"),
            kl.TimeDistributed(SCALARS[kind](), name="around"),
            keras.Sequential([SCALARS[kind]()], name="inner"),
            WNDense(4, name="last"),
        ]
    )
    randomize(model)
    x = np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32")
    expected = to_numpy(model(x))
    folded = keras_wn.fold(model)
    assert type(folded.get_layer("around").layer) is kl.Rescaling
    folded.save(tmp_path / "folded.keras")
    loaded = keras.saving.load_model(tmp_path / "folded.keras")
    scalar = type(SCALARS[kind]())
    chosen = keras_wn.fold(model, layers=scalar)
    assert type(chosen.get_layer("first")) is WNDense
    assert type(chosen.get_layer("around").layer) is kl.Rescaling
    assert type(chosen.get_layer("inner").layers[0]) is kl.Rescaling
    for one in (folded, loaded, chosen):
        np.testing.assert_allclose(to_numpy(one(x)), expected, rtol=1e-4, atol=1e-5)
    block = keras.Sequential([keras.Input((4,)), ScalarBlock(kind)])
    with pytest.raises(ValueError, match="selects no such layer.* Allowed: dense, wn_dense"):
        keras_wn.fold(block, layers=scalar)


class WithoutConfig(keras.Model):
    """A model that Keras cannot make again, with layers held in several ways."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.first = WNDense(4, name="first")
        self.parts = [WNDense(4), kl.Dense(4), {"end": WeightNormalization(kl.Dense(4))}]
        self.again = self.first
        inputs = keras.Input((4,))
        self.inner = keras.Model(inputs, WNDense(4, activation="relu")(inputs))
        self.block = ScalarBlock("skip")

    def call(self, x):
        x = self.function(self.first(x))
        x = self.parts[2]["end"](self.parts[1](self.parts[0](x)))
        return self.block(self.inner(self.again(x)))


@pytest.mark.parametrize("compiled", [True, False])
def test_fold_in_place_needs_no_get_config(compiled):
    model = WithoutConfig(keras.ops.tanh)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    model(x)
    randomize(model)
    if compiled:
        model.compile(optimizer="sgd", loss="mse")
    expected = model.predict(x, verbose=0)
    with pytest.raises(ValueError, match="cannot be made again from its get_config"):
        keras_wn.fold(model)
    assert keras_wn.fold(model, in_place=True) is model
    for layer in (model.first, model.parts[0], model.parts[2]["end"], model.block.dense):
        assert type(layer) is kl.Dense
    assert model.again is model.first
    assert not any(isinstance(part, WNDense) for part in model._flatten_layers())
    assert not any("_g" in variable.name for variable in model.weights)
    np.testing.assert_allclose(to_numpy(model(x)), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)
    assert model.compiled == compiled
    if compiled:
        model.fit(x, expected, verbose=0)


def test_fold_in_place_refuses_graphs_and_changes_nothing_on_an_error():
    graph = keras.Sequential([keras.Input((4,)), WNDense(3)], name="graph")
    with pytest.raises(ValueError, match="in_place=True on model 'graph' .* Allowed: subclassed"):
        keras_wn.fold(graph, in_place=True)

    class Other(WNDense):
        pass

    model = WithoutConfig(keras.ops.tanh)
    x = np.ones((2, 4), "float32")
    other = Other(4)
    other(x)
    model.parts.append(other)
    model(x)
    before = model.get_weights()
    with pytest.raises(ValueError, match="may compute something else than its base class"):
        keras_wn.fold(model, in_place=True)
    assert type(model.first) is WNDense
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
