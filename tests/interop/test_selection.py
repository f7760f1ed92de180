"""Chooses layers by `weight_norm(model, layers=...)` and `fold(model, layers=...)`."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn.layers import WeightNormalization, WNDense
from tests.helpers import randomize, to_numpy
from tests.interop.test_custom_layers import SERIES, Residual


def plain_model():
    inputs = keras.Input((6, 4))
    x = kl.Conv1D(4, 2, name="conv")(inputs)
    x = keras.Sequential([kl.Dense(4, name="inside"), kl.Dense(4, name="second")], name="nested")(x)
    x = kl.LSTM(3, name="lstm")(x)
    return keras.Model(inputs, kl.Dense(2, name="head")(x))


def normalized(model):
    return {
        layer.name
        for layer in model._flatten_layers()
        if isinstance(layer, WeightNormalization) or type(layer).__name__.startswith("WN")
    }


ALL = {"conv", "inside", "second", "lstm", "head"}
SELECTIONS = {
    "name": ("head", {"head"}),
    "names": (["conv", "inside"], {"conv", "inside"}),
    "model": ("nested", {"inside", "second"}),
    "class": (kl.Dense, {"inside", "second", "head"}),
    "classes": ((kl.Conv1D, kl.LSTM), {"conv", "lstm"}),
    "name_and_class": ([kl.LSTM, "head"], {"lstm", "head"}),
    "predicate": (lambda layer: layer.name.startswith("s"), {"second"}),
    "none": (None, ALL),
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_layers_that_were_asked_for_are_normalized_and_folded(name):
    selection, expected = SELECTIONS[name]
    model = plain_model()
    chosen = keras_wn.weight_norm(model, layers=selection)
    assert normalized(chosen) == expected
    np.testing.assert_allclose(
        to_numpy(chosen(SERIES)), to_numpy(model(SERIES)), rtol=1e-5, atol=1e-6
    )
    # A normalized layer is of another class, so that the plain classes select nothing to fold.
    if name not in ("class", "classes", "name_and_class"):
        every = keras_wn.weight_norm(model)
        folded = keras_wn.fold(every, layers=selection)
        assert normalized(folded) == ALL - expected
        np.testing.assert_allclose(
            to_numpy(folded(SERIES)), to_numpy(model(SERIES)), rtol=1e-5, atol=1e-6
        )


def test_function_is_not_asked_of_models_and_own_containers():
    model = keras.Sequential(
        [keras.Input((6, 4)), Residual(4, name="block"), kl.Dense(2, name="head")], name="block_net"
    )
    model.get_layer("block").trainable = False
    asked = []
    normalized_model = keras_wn.weight_norm(
        model, layers=lambda layer: asked.append(layer.name) or layer.trainable
    )
    assert normalized(normalized_model.get_layer("head")) == {"head"}
    assert not {"block", "block_net"} & set(asked)


def test_attention_is_normalized_as_a_whole_or_not_at_all():
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, kl.MultiHeadAttention(2, 3, name="attention")(inputs, inputs))
    with pytest.raises(
        ValueError,
        match="selects some of the kernels of layer 'attention' .MultiHeadAttention., which",
    ):
        keras_wn.weight_norm(model, layers="query")
    assert normalized(keras_wn.weight_norm(model, layers="attention")) == {"attention"}


def test_fold_by_class_and_inside_of_a_custom_layer():
    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, WNDense(2, name="head")(Residual(4, name="block")(inputs)))
    randomize(model)
    folded = keras_wn.fold(model, layers=[WNDense])
    block = folded.get_layer("block")
    assert type(block.shortcut) is kl.Dense and type(block.first).__name__ == "WNConv1D"
    assert type(folded.get_layer("head")) is kl.Dense
    np.testing.assert_allclose(
        to_numpy(folded(SERIES)), to_numpy(model(SERIES)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "function, selection, message",
    [
        (
            keras_wn.weight_norm,
            "heed",
            "weight_norm: layers='heed' selects no such layer of model .* "
            "Allowed: conv, head, inside",
        ),
        (
            keras_wn.weight_norm,
            [],
            r"layers=\[\] selects no layer. Allowed: at least one name or class",
        ),
        (keras_wn.weight_norm, ["head", "x"], "layers='x' selects no such layer"),
        (keras_wn.weight_norm, kl.Conv2D, "selects no such layer"),
        (keras_wn.weight_norm, lambda layer: False, "selects no such layer"),
        (keras_wn.weight_norm, [3], "layers=3 is not allowed. Allowed: names, classes, a function"),
        (
            keras_wn.fold,
            "head",
            "fold: layers='head' selects no such layer of model .* Allowed: none",
        ),
    ],
)
def test_what_selects_nothing_is_refused(function, selection, message):
    with pytest.raises(ValueError, match=message):
        function(plain_model(), layers=selection)
