"""`weight_norm` and `fold` of models that hold more than layers with kernels."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn.interop import load_plain_weights
from keras_wn.layers import WeightNormalization, WNDense
from tests.helpers import randomize, to_numpy

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(3.0, 2.0, size=(16, 4)).astype("float32")
SERIES = RNG.normal(size=(2, 6, 4)).astype("float32")


def same(a, b, x):
    expected = to_numpy(b(x))
    # Relative to the largest output: where large terms cancel, their rounding stays.
    np.testing.assert_allclose(to_numpy(a(x)), expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_adapted_statistics_are_kept(tmp_path):
    normalization = kl.Normalization()
    normalization.adapt(VECTORS)
    model = keras.Sequential([keras.Input((4,)), normalization, kl.Dense(3)])
    normalized = keras_wn.weight_norm(model)
    same(normalized, model, VECTORS)
    same(keras_wn.fold(normalized), model, VECTORS)
    model.save_weights(tmp_path / "a.weights.h5")
    other = keras_wn.weight_norm(
        keras.Sequential([keras.Input((4,)), kl.Normalization(), kl.Dense(3)])
    )
    load_plain_weights(other, tmp_path / "a.weights.h5")
    same(other, model, VECTORS)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tables are TensorFlow's")
def test_vocabularies_are_kept():
    lookup = kl.IntegerLookup()
    lookup.adapt(np.array([12, 36, 1138, 42]))
    model = keras.Sequential(
        [keras.Input((2,), dtype="int64"), lookup, kl.Embedding(5, 3), kl.Flatten(), kl.Dense(2)]
    )
    same(keras_wn.weight_norm(model), model, np.array([[42, 7], [12, 36]]))


class Owner(keras.Model):
    """A weight of its own, a tuple of layers with something else in it, and attention."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.parts = (kl.Dense(4), 2, [kl.Dense(4)])
        self.attention = kl.MultiHeadAttention(2, 3)

    def call(self, x):
        x = self.parts[2][0](self.parts[0](x)) * self.parts[1]
        return self.attention(x, x) * self.scale


def test_subclassed_model_with_a_weight_a_tuple_and_attention(tmp_path):
    model = Owner()
    model(SERIES)
    model.scale.assign(7.0)
    normalized = keras_wn.weight_norm(model)
    same(normalized, model, SERIES)
    assert isinstance(normalized.parts[0], WNDense) and isinstance(
        normalized.attention, WeightNormalization
    )
    folded = keras_wn.fold(normalized)
    same(folded, model, SERIES)
    folded.save_weights(tmp_path / "a.weights.h5")
    normalized.scale.assign(1.0)
    load_plain_weights(normalized, tmp_path / "a.weights.h5")
    assert float(to_numpy(normalized.scale)) == 7.0
    same(normalized, model, SERIES)


def test_fold_reaches_into_time_distributed_cells_and_subclassed_models():
    class Inner(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = WNDense(4)

        def call(self, x):
            return self.dense(x)

    inputs = keras.Input((6, 4))
    x = kl.TimeDistributed(WNDense(4))(Inner()(inputs))
    model = keras.Model(inputs, kl.RNN(WeightNormalization(kl.LSTMCell(3)))(x))
    randomize(model)
    folded = keras_wn.fold(model)
    same(folded, model, SERIES)
    assert not any(
        type(layer).__module__.startswith("keras_wn") for layer in folded._flatten_layers()
    )


def test_plain_file_reaches_wrappers_and_owners_behind_others(tmp_path):
    class Inner(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

        def call(self, x):
            return x * self.scale

    inputs = keras.Input((6, 4))
    x = WeightNormalization(kl.LSTM(4, return_sequences=True))(inputs)
    x = kl.TimeDistributed(WNDense(4))(Inner(name="inner")(x))
    model = keras.Model(inputs, kl.RNN(WeightNormalization(kl.LSTMCell(3)))(x))
    randomize(model)
    expected = to_numpy(model(SERIES))
    keras_wn.fold(model).save_weights(tmp_path / "a.weights.h5")
    randomize(model, seed=1)
    assert np.any(np.abs(to_numpy(model(SERIES)) - expected) > 1e-3)
    load_plain_weights(model, tmp_path / "a.weights.h5")
    np.testing.assert_allclose(to_numpy(model(SERIES)), expected, rtol=1e-4, atol=1e-5)


def test_fold_names_a_subclass_that_may_compute_something_else():
    class Doubled(WNDense):
        def call(self, x):
            return super().call(x) * 2

    model = keras.Sequential([keras.Input((4,)), Doubled(3, name="mine")])
    with pytest.raises(
        ValueError, match="layer 'mine' is a Doubled, which may compute something else"
    ):
        keras_wn.fold(model)


def test_fold_keeps_names_and_what_is_frozen():
    layers = [
        WeightNormalization(kl.Dense(4, name="d"), name=name, trainable=name == "a")
        for name in ("a", "b")
    ]
    model = keras.Sequential([keras.Input((4,)), *layers])
    folded = keras_wn.fold(model)
    assert [(layer.name, layer.trainable) for layer in folded.layers] == [("a", True), ("b", False)]
    same(folded, model, VECTORS)


def test_batch_norm_in_training_mode_stays():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, kl.BatchNormalization()(WNDense(3)(inputs), training=True))
    folded = keras_wn.fold(model, fold_bn=True)
    assert any(isinstance(layer, kl.BatchNormalization) for layer in folded.layers)
    same(folded, model, VECTORS)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="others' batch norm computes in float32 here"
)
def test_fold_bn_in_float64_is_exact():
    model = keras.Sequential(
        [
            keras.Input((4,), dtype="float64"),
            kl.Dense(3, dtype="float64"),
            kl.BatchNormalization(dtype="float64"),
        ]
    )
    randomize(model.layers[0])
    folded = keras_wn.fold(model, fold_bn=True)
    x = VECTORS.astype("float64")
    np.testing.assert_allclose(to_numpy(folded(x)), to_numpy(model(x)), rtol=1e-13)


def test_compiled_sequential_stays_compiled_without_its_batch_norm():
    model = keras.Sequential([keras.Input((4,)), kl.Dense(3), kl.BatchNormalization()])
    model.compile(optimizer="sgd", loss="mse")
    assert keras_wn.fold(model, fold_bn=True).compiled


def test_lora_is_refused_by_name():
    model = keras.Sequential([keras.Input((4,)), kl.Dense(3, name="d")])
    model.layers[0].enable_lora(2)
    with pytest.raises(ValueError, match="layer 'd' has LoRA enabled"):
        keras_wn.weight_norm(model)


@keras.saving.register_keras_serializable("tests")
class Backbone(keras.Model):
    """A functional model with a constructor of its own, as those of keras-hub."""

    def __init__(self, units, **kwargs):
        first = kl.Dense(units, name="first")
        norms = [kl.LayerNormalization(name=f"norm_{i}") for i in range(2)]
        inputs = keras.Input((4,), name="x")
        x = inputs
        for norm in norms:
            x = norm(first(x)) if norm is norms[0] else norm(x)
        super().__init__(inputs=inputs, outputs=kl.Dense(3, name="last")(x), **kwargs)
        self.units = units
        self.first = first
        self.norms = norms

    def first_outputs(self, x):
        return self.norms[0](self.first(x))

    def get_config(self):
        return {"units": self.units, "name": self.name, "trainable": self.trainable}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable("tests")
class WithoutConfig(Backbone):
    def get_config(self):
        raise NotImplementedError("there is none")


@pytest.mark.parametrize("compiled", [True, False])
def test_a_subclass_of_functional_models_keeps_its_class(compiled, tmp_path):
    model = Backbone(5, name="backbone")
    if compiled:
        model.compile(optimizer="sgd", loss="mse")
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    randomize(model)
    expected, inner = to_numpy(model(x)), to_numpy(model.first_outputs(x))
    normalized = keras_wn.weight_norm(model)
    folded = keras_wn.fold(normalized)
    for one, dense in ((normalized, keras_wn.layers.WNDense), (folded, kl.Dense)):
        assert type(one) is Backbone and one.units == 5 and one.compiled == compiled
        assert type(one.first) is dense and one.first is one.get_layer("first")
        assert one.first is not model.first and one.norms[1] is one.get_layer("norm_1")
        assert len(one.weights) == len({id(w) for w in one.weights})
        np.testing.assert_allclose(to_numpy(one(x)), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(to_numpy(one.first_outputs(x)), inner, rtol=1e-4, atol=1e-5)
    normalized.save_weights(tmp_path / "n.weights.h5")
    fresh = keras_wn.weight_norm(Backbone(5, name="backbone"))
    fresh.load_weights(tmp_path / "n.weights.h5")
    np.testing.assert_allclose(to_numpy(fresh(x)), expected, rtol=1e-4, atol=1e-5)
    inputs = keras.Input((4,))
    outer = keras_wn.weight_norm(keras.Model(inputs, model(inputs)))
    assert type(outer.layers[-1]) is Backbone


def test_a_class_that_cannot_be_kept_is_told():
    model = WithoutConfig(5, name="backbone")
    with pytest.warns(UserWarning, match=r"'backbone' \(WithoutConfig\) is returned as a plain"):
        normalized = keras_wn.weight_norm(model)
    assert type(normalized.get_layer("first")) is keras_wn.layers.WNDense


def test_frozen_models_inside_of_models_stay_frozen():
    def inner(name):
        inputs = keras.Input((4,))
        return keras.Model(inputs, kl.Dense(4, name=f"{name}_dense")(inputs), name=name)

    frozen, thawed, open_ = inner("frozen"), inner("thawed"), inner("open")
    x = inputs = keras.Input((4,))
    for part in (frozen, thawed, open_, keras.Sequential([kl.Dense(4)], name="sequence")):
        x = part(x)
    model = keras.Model(inputs, x)
    frozen.trainable = thawed.trainable = False
    model.get_layer("sequence").trainable = False
    # A layer that is thawed in a frozen model.
    thawed.layers[-1].trainable = True
    normalized = keras_wn.weight_norm(model)
    for one in (normalized, keras_wn.fold(normalized), keras_wn.fold(normalized, fold_bn=True)):
        flags = [one.get_layer(n).trainable for n in ("frozen", "thawed", "open", "sequence")]
        assert flags == [False, False, True, False]
        assert not one.get_layer("frozen").trainable_variables
        assert one.get_layer("thawed").layers[-1].trainable
        trained = {v.path.split("/")[-2] for v in one.trainable_variables}
        assert trained == {v.path.split("/")[-2] for v in model.trainable_variables}
        one.get_layer("frozen").trainable = True
        assert one.get_layer("frozen").trainable_variables
    model.trainable = False
    assert not keras_wn.weight_norm(model).trainable
