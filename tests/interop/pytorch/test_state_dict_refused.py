"""State dicts that are refused, and change nothing."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn.interop import load_torch_state_dict, to_torch_state_dict
from keras_wn.layers import WeightNormalization
from tests.helpers import to_numpy

RNG = np.random.default_rng(0)


def good():
    return {"0.weight_g": np.ones((3, 1)), "0.weight_v": np.ones((3, 4)), "0.bias": np.ones(3), "1.weight": np.ones((2, 3))}  # fmt: skip


@pytest.mark.parametrize(
    "change, message",
    [
        ({"0.weight_v": None}, "Layer 'first' expected of module '0' a weight, or both g and v of one"),
        ({"0.bias": None}, "Layer 'first' expected of module '0' a bias"),
        ({"1.bias": np.ones(2)}, "Layer 'second' expected of module '1' no bias"),
        ({"1.weight": None}, r"layers \['first', 'second'\] and modules \['0'\] do not match"),
        ({"2.weight": np.ones((2, 2))}, r"modules \['0', '1', '2'\] do not match"),
        (
            {"1.running_mean": np.ones(2)},
            "entry '1.running_mean' is not allowed. Allowed: weights and biases of Linear",
        ),
        (
            {"1.weight": np.ones((2, 5))},
            r"Layer 'second' expected a kernel 'kernel' of shape \(3, 2\). Received: \(5, 2\)",
        ),
        ({"0.weight_g": np.ones((2, 1))}, r"Layer 'first': g of module '0' has shape \(2, 1\), v has \(3, 4\)"),
        ({"0.weight_v": np.ones((3, 4, 1))}, "Layer 'first' expected of module '0' a weight of rank 2"),
        ({"0.bias": np.ones(4)}, r"Layer 'first' expected a bias of shape \(3,\). Received: \(4,\)"),
        ({"0.parametrizations.weight.original0": np.ones((3, 1))}, "original0' gives a second g of its module"),
    ],
)
def test_bad_state_dict_is_refused_and_changes_nothing(change, message):
    model = keras.Sequential(
        [keras.Input((4,)), keras_wn.layers.WNDense(3, name="first"), kl.Dense(2, use_bias=False, name="second")]
    )
    before = model.get_weights()
    state_dict = {name: value for name, value in {**good(), **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        load_torch_state_dict(model, state_dict)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    load_torch_state_dict(model, good())


def test_other_bad_input_is_refused():
    model = keras.Sequential([keras.Input((4,)), keras_wn.layers.WNDense(3, name="first")])
    with pytest.raises(ValueError, match="state_dict='weights.pt' is not allowed. .* torch.load"):
        load_torch_state_dict(model, "weights.pt")
    with pytest.raises(ValueError, match=r"do not match by names=\{'first': 'x'\}"):
        load_torch_state_dict(model, {"0.weight": np.ones((3, 4))}, names={"first": "x"})
    with pytest.raises(ValueError, match="Model 'u' is not built"):
        load_torch_state_dict(keras.Sequential([kl.Dense(2)], name="u"), {})
    other = keras.Sequential([keras.Input((4,)), kl.BatchNormalization(name="norm")])
    with pytest.raises(ValueError, match=r"Layer 'norm' \(BatchNormalization\) is not allowed"):
        to_torch_state_dict(other)
    strict = keras.Sequential(
        [keras.Input((2,)), keras_wn.layers.WNDense(1, use_gain=False, use_bias=False, name="strict")]
    )
    with pytest.raises(ValueError, match="Layer 'strict' has use_gain=False and cannot hold a gain of 10"):
        load_torch_state_dict(strict, {"weight_g": np.array([[10.0]]), "weight_v": np.array([[3.0, 4.0]])})
    wide = keras.Sequential([keras.Input((6, 4)), WeightNormalization(kl.Conv1D(2, 3), axis=0, name="wide")])
    with pytest.raises(
        ValueError, match=r"Layer 'wide' has norms over the axes \(0,\). Allowed: over all axes but one"
    ):
        to_torch_state_dict(wide)


def test_layers_of_one_name_go_in_order_and_are_refused_on_the_way_out():
    def nested():
        return keras.Sequential([keras.Input((4,)), kl.Dense(4, name="fc")])

    model = keras.Sequential([keras.Input((4,)), nested(), nested()])
    values = {
        f"{i}.{kind}": RNG.normal(size=shape) for i in "01" for kind, shape in (("weight", (4, 4)), ("bias", (4,)))
    }
    load_torch_state_dict(model, values)
    np.testing.assert_allclose(to_numpy(model.layers[1].layers[0].kernel), values["1.weight"].T, rtol=1e-6)
    with pytest.raises(ValueError, match="two layers go to module 'fc'"):
        to_torch_state_dict(model)


def test_weight_that_no_module_has_is_refused_and_a_failed_load_changes_nothing():
    class Scaled(keras.Model):
        def __init__(self):
            super().__init__(name="scaled")
            self.scale, self.fc = self.add_weight(shape=()), kl.Dense(2)

        def call(self, x):
            return self.fc(x) * self.scale

    model = Scaled()
    model(np.ones((1, 4), "float32"))
    with pytest.raises(ValueError, match=r"Layer 'scaled' \(Scaled\) is not allowed"):
        to_torch_state_dict(model)
    model = keras.Sequential([keras.Input((4,)), keras_wn.layers.WNDense(3)])
    before = model.get_weights()
    with pytest.raises(ValueError, match="could not convert string"):
        load_torch_state_dict(model, {"weight": np.ones((3, 4)), "bias": np.array(["a", "b", "c"])})
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
