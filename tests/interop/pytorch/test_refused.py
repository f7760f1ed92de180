"""Refuses state dicts, names and models with one clear line each, and changes nothing."""

import keras
import numpy as np
import pytest
import torch
from keras import layers as kl

import keras_wn
from keras_wn.interop import load_torch_state_dict, to_torch_state_dict


def good():
    return {
        "0.weight_g": np.ones((3, 1)),
        "0.weight_v": np.ones((3, 4)),
        "0.bias": np.ones(3),
        "1.weight": np.ones((2, 3)),
    }


def two_layers():
    first = keras_wn.layers.WNDense(3, name="first")
    return keras.Sequential([keras.Input((4,)), first, kl.Dense(2, use_bias=False, name="second")])


def assert_refused(model, message, state_dict, **options):
    before = model.get_weights()
    with pytest.raises(ValueError, match=message) as refused:
        load_torch_state_dict(model, state_dict, **options)
    assert "\n" not in str(refused.value)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"0.weight_v": None}, "of '0.weight' the state dict has g. Allowed: g and v, or w alone"),
        ({"0.weight": np.ones((3, 4))}, "of '0.weight' the state dict has g and v and w. Allowed"),
        ({"0.bias": None}, "Layer 'first' expected of module '0' weight, bias. Received: weight."),
        (
            {"1.bias": np.ones(2)},
            "Layer 'second' expected of module '1' weight. Received: weight, bias",
        ),
        (
            {"1.weight": None},
            "The model has 2 layers .* 1 modules, .* differs is layer 'second' and no module",
        ),
        ({"2.weight": np.ones((2, 2))}, "differs is no layer and module '2'"),
        (
            {"1.running_mean": np.ones(2)},
            "expected of module '1' weight. Received: weight, running_mean",
        ),
        (
            {"1.weight": np.ones((2, 5))},
            r"'second' expected of module '1' weight of shape \(2, 3\). Received: \(2, 5\)",
        ),
        ({"0.weight_g": np.ones((2, 1))}, r"g of '0.weight' has shape \(2, 1\) and v \(3, 4\)"),
        (
            {"0.weight_v": np.ones((3, 4, 1))},
            r"g of '0.weight' has shape \(3, 1\) and v \(3, 4, 1\)",
        ),
        ({"0.bias": np.ones(4)}, r"expected of module '0' bias of shape \(3,\). Received: \(4,\)"),
        (
            {"0.parametrizations.weight.original0": np.ones((3, 1))},
            "original0' gives a second g of 'weight'",
        ),
        ({"0.bias": "none"}, r"state_dict\['0.bias'\] is a str. Allowed: arrays of numbers"),
        ({"0.bias": 3}, r"state_dict\['0.bias'\] is a int. Allowed: arrays"),
        (
            {"0.bias": np.array(["a", "b", "c"])},
            r"state_dict\['0.bias'\] is an array of <U1, which are no numbers",
        ),
        ({0: np.ones(3)}, r"state_dict\[0\] is a ndarray. Allowed: .* under names"),
    ],
)
def test_bad_state_dicts(change, message):
    model = two_layers()
    state_dict = {key: value for key, value in {**good(), **change}.items() if value is not None}
    assert_refused(model, message, state_dict)
    load_torch_state_dict(model, good())


@pytest.mark.parametrize("strict", [True, False])
def test_bad_input(strict):
    model = two_layers()
    for state_dict, message in [
        ("weights.pt", "state_dict='weights.pt' is not allowed. .* torch.load"),
        (
            torch.nn.Linear(4, 3),
            "is not allowed. Allowed: a dict from names to arrays, as module.state_dict",
        ),
        (
            {"model": good(), "epoch": 3},
            r"holds dicts of arrays under \['model'\]. .* for example state_dict\['model'\]",
        ),
        ({"state_dict": good(), "best": good()}, r"under \['state_dict', 'best'\]"),
    ]:
        assert_refused(model, message, state_dict, strict=strict)
    for names, message in [
        ({"third": "0"}, "names has layer 'third'. Allowed: 'first', 'second'"),
        ({"first": "x"}, "names has module 'x'. Allowed: '0', '1'"),
    ]:
        assert_refused(model, message, good(), names=names, strict=strict)
    with pytest.raises(ValueError, match="to_torch_state_dict: names has layer 'third'"):
        to_torch_state_dict(model, names={"third": "0"})


def test_models_that_are_not_built():
    with pytest.raises(ValueError, match="Model 'u' is not built or has no weights. Allowed"):
        load_torch_state_dict(keras.Sequential([kl.Dense(2)], name="u"), {})


@pytest.mark.parametrize(
    "layer, message",
    [
        (kl.GRU(2, reset_after=False), "reset_after=False. Allowed: reset_after=True"),
        (kl.LSTM(2, recurrent_activation="relu"), "recurrent_activation='relu'. Allowed: sigmoid"),
        (kl.SimpleRNN(2, activation="elu"), "activation='elu'. Allowed: tanh or relu"),
        (kl.LayerNormalization(axis=(1, 2)), "normalizes over the axes .* Allowed: over one"),
        (kl.PReLU(), r"has a weight 'alpha' of shape \(5, 4\), whose layout"),
        (kl.SeparableConv1D(2, 2), r"\(SeparableConv1D\) is not allowed. Allowed: layers that"),
        (kl.EinsumDense("abc,cd->abd", (5, 2)), r"\(EinsumDense\) is not allowed"),
    ],
)
def test_layers_without_a_counterpart(layer, message):
    model = keras.Sequential([keras.Input((5, 4)), layer])
    message = f"Layer '{layer.name}' .*{message}"
    with pytest.raises(ValueError, match=message):
        to_torch_state_dict(model)
    with pytest.raises(ValueError, match=message):
        load_torch_state_dict(model, {"weight": np.ones(3)})


def test_layers_that_take_a_scale():
    x = inputs = keras.Input((4,))
    layer = keras_wn.layers.WNDense(3, name="scaled")
    model = keras.Model(inputs, layer(x, scale=np.ones(3, "float32")))
    with pytest.raises(ValueError, match="Layer 'scaled' .* takes a scale from another layer"):
        to_torch_state_dict(model)
