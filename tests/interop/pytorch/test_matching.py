"""Matches modules and layers, with `strict` and without."""

import importlib.util

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn.interop import load_torch_state_dict, to_torch_state_dict
from tests.helpers import to_numpy

_no_torch = importlib.util.find_spec("torch") is None
needs_torch = pytest.mark.skipif(_no_torch, reason="to_torch_state_dict needs PyTorch")


def dense_model(*names, inputs=3):
    """Dense layers of `inputs` units."""
    layers = [kl.Dense(inputs, name=name) for name in names]
    return keras.Sequential([keras.Input((inputs,)), *layers])


def modules(*names, size=3):
    """A state dict of `Linear` modules, each of its own values."""
    entries = {}
    for i, name in enumerate(names):
        entries[f"{name}.weight"] = np.full((size, size), float(i))
        entries[f"{name}.bias"] = np.full(size, float(i))
    return entries


def loaded_values(model):
    return [float(to_numpy(layer.bias)[0]) for layer in model.layers if layer.weights]


def test_by_name_where_all_names_are_found():
    model = dense_model("block_1", "block_0")
    report = load_torch_state_dict(model, modules("block.0", "block.1"))
    assert report.loaded == {"block_1": "block.1", "block_0": "block.0"}
    assert loaded_values(model) == [1, 0]


def test_in_order_where_no_name_is_found():
    model = dense_model("a", "b")
    assert load_torch_state_dict(model, modules("0", "2")).loaded == {"a": "0", "b": "2"}
    assert loaded_values(model) == [0, 1]


def test_in_order_where_it_agrees_with_the_names_that_are_found():
    model = dense_model("start", "b", "end")
    report = load_torch_state_dict(model, modules("start", "1", "end"))
    assert report.loaded == {"start": "start", "b": "1", "end": "end"}


def test_order_that_contradicts_a_name_is_refused():
    # Numbers from 1 in Keras and from 0 in PyTorch.
    model = dense_model("conv_1", "conv_2")
    before = model.get_weights()
    expected = "first pair that differs is layer 'conv_2' and module 'conv.0'"
    with pytest.raises(ValueError, match=expected):
        load_torch_state_dict(model, modules("conv.0", "conv.1"))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    names = {"conv_1": "conv.0"}
    # The rest is matched as if it were all.
    report = load_torch_state_dict(model, modules("conv.0", "conv.1"), names=names)
    assert report.loaded == {"conv_1": "conv.0", "conv_2": "conv.1"}


def test_names_of_some_layers_and_the_rest_by_name():
    model = dense_model("start", "middle", "end")
    state_dict = modules("end", "body", "start")
    report = load_torch_state_dict(model, state_dict, names={"middle": "body"})
    assert report.loaded == {"middle": "body", "start": "start", "end": "end"}
    assert loaded_values(model) == [2, 1, 0]


def test_two_layers_may_share_a_module_by_names():
    model = dense_model("a", "b")
    report = load_torch_state_dict(model, modules("x"), names={"a": "x", "b": "x"})
    assert report.loaded == {"a": "x", "b": "x"}


@needs_torch
def test_layers_of_one_name_have_their_paths():
    def nested(name):
        return keras.Sequential([keras.Input((3,)), kl.Dense(3, name="fc")], name=name)

    model = keras.Sequential([keras.Input((3,)), nested("block_0"), nested("block_1")])
    report = load_torch_state_dict(model, modules("block.1.fc", "block.0.fc"))
    assert report.loaded == {"block_0/fc": "block.0.fc", "block_1/fc": "block.1.fc"}
    assert sorted(to_torch_state_dict(model)) == [
        "block_0.fc.bias",
        "block_0.fc.weight",
        "block_1.fc.bias",
        "block_1.fc.weight",
    ]
    with pytest.raises(ValueError, match="two layers go to module 'x'"):
        to_torch_state_dict(model, names={"block_0/fc": "x", "block_1/fc": "x"})


def test_a_path_is_found_where_the_name_alone_would_do():
    block = keras.Sequential([keras.Input((3,)), kl.Dense(3, name="fc")], name="encoder")
    model = keras.Sequential([keras.Input((3,)), block, kl.Dense(3, name="head")])
    report = load_torch_state_dict(model, modules("head", "encoder.fc"))
    assert report.loaded == {"fc": "encoder.fc", "head": "head"}


def test_copies_of_modules_are_no_modules_of_their_own():
    model = dense_model("a", "b")
    state_dict = modules("0", "1")
    state_dict |= {f"net.0.{name}": state_dict[f"0.{name}"] for name in ("weight", "bias")}
    report = load_torch_state_dict(model, state_dict)
    assert report.loaded == {"a": "0", "b": "1"} and report.unexpected == []


def test_modules_with_equal_weights_are_loaded_as_they_come():
    norms = [kl.BatchNormalization(name=name) for name in "ab"]
    model = keras.Sequential([keras.Input((3,)), *norms])
    norm = {
        "weight": np.ones(3),
        "bias": np.ones(3),
        "running_mean": np.ones(3),
        "running_var": np.ones(3),
    }
    state_dict = {f"{i}.{name}": value for i in (0, 1) for name, value in norm.items()}
    state_dict["0.num_batches_tracked"] = np.array(7)
    assert load_torch_state_dict(model, state_dict).loaded == {"a": "0", "b": "1"}


@needs_torch
def test_root_module():
    model = dense_model("fc")
    load_torch_state_dict(model, {"weight": np.ones((3, 3)), "bias": np.full(3, 5.0)})
    assert loaded_values(model) == [5]
    assert sorted(to_torch_state_dict(model, names={"fc": ""})) == ["bias", "weight"]


@pytest.mark.parametrize("prefix", ["module", "_orig_mod", "model", "module._orig_mod.net"])
@pytest.mark.parametrize("strict", [True, False])
def test_names_after_a_prefix_that_all_modules_have(prefix, strict):
    model = dense_model("b", "a", "c")
    state_dict = modules(*(f"{prefix}.{name}" for name in "abc"))
    report = load_torch_state_dict(model, state_dict, strict=strict)
    assert report.loaded == {name: f"{prefix}.{name}" for name in "abc"}
    assert loaded_values(model) == [1, 0, 2]


def test_names_after_a_prefix_that_the_modules_of_one_part_have():
    model = dense_model("b", "a")
    state_dict = modules("generator.a", "generator.b", "discriminator.c", "step")
    report = load_torch_state_dict(model, state_dict, strict=False)
    assert report.loaded == {"b": "generator.b", "a": "generator.a"}
    assert report.unexpected == ["discriminator.c", "step"]


def test_two_parts_with_the_names_of_the_model_are_refused():
    model = dense_model("b", "a")
    state_dict = modules("model.a", "model.b", "average.a", "average.b")
    with pytest.raises(ValueError, match="has 2 layers .* the state dict 4 modules"):
        load_torch_state_dict(model, state_dict)
    assert load_torch_state_dict(model, state_dict, strict=False).loaded == {}
    report = load_torch_state_dict(model, state_dict, ignore="average")
    assert report.loaded == {"b": "model.b", "a": "model.a"}


def test_names_of_nested_layers_after_prefixes_on_both_sides():
    def nested(name):
        return keras.Sequential([keras.Input((3,)), kl.Dense(3, name="fc")], name=name)

    inner = keras.Sequential([keras.Input((3,)), nested("block_0"), nested("block_1")], name="net")
    model = keras.Sequential([keras.Input((3,)), inner])
    report = load_torch_state_dict(model, modules("module.block.1.fc", "module.block.0.fc"))
    assert report.loaded == {
        "net/block_0/fc": "module.block.0.fc",
        "net/block_1/fc": "module.block.1.fc",
    }


def test_a_new_head_is_not_the_old_head_of_another_name():
    for prefix in ("", "module."):
        model = dense_model("body", "new_head")
        before = to_numpy(model.layers[-1].kernel).copy()
        report = load_torch_state_dict(
            model, modules(f"{prefix}body", f"{prefix}head"), strict=False
        )
        assert report.loaded == {"body": f"{prefix}body"} and report.missing == ["new_head"]
        assert report.unexpected == [f"{prefix}head"]
        np.testing.assert_array_equal(to_numpy(model.layers[-1].kernel), before)


def test_a_wrong_number_of_layers_is_told_by_the_numbers_and_the_first_pair():
    model = dense_model(*(f"layer_{i}" for i in range(40)))
    state_dict = modules(*map(str, range(41)))
    for i in (7, 20):
        state_dict[f"{i}.weight"] = np.ones((5, 5))
    with pytest.raises(ValueError) as refused:
        load_torch_state_dict(model, state_dict)
    message = str(refused.value)
    assert "has 40 layers with weights" in message and "41 modules" in message
    assert "the first pair that differs is layer 'layer_7' and module '7'" in message
    assert len(message) < 600
    with pytest.raises(ValueError, match="first pair that differs is no layer and module '2'"):
        load_torch_state_dict(dense_model("x", "y"), modules("0", "1", "2"))
    with pytest.raises(ValueError, match="first pair that differs is layer 'y' and no module"):
        load_torch_state_dict(dense_model("x", "y"), modules("0"))


def test_buffers_and_modules_can_be_ignored():
    model = dense_model("a", "b")
    state_dict = {
        "a.filter": np.ones((1, 4)),
        **modules("a"),
        "up.filter": np.ones(4),
        **modules("b", "loss.net"),
    }
    with pytest.raises(ValueError, match="has 2 layers .* 4 modules"):
        load_torch_state_dict(model, state_dict)
    report = load_torch_state_dict(model, state_dict, ignore=["*filter", "loss"])
    assert report.loaded == {"a": "a", "b": "b"} and report.unexpected == []
    with pytest.raises(ValueError, match="ignore='filter' fits no entry and no module. Allowed"):
        load_torch_state_dict(model, state_dict, ignore="filter")


# Not strict.


def test_by_name_what_is_found_and_the_rest_is_left():
    model = dense_model("start", "new")
    new = to_numpy(model.layers[-1].kernel)
    state_dict = modules("start", "end", "head")
    report = load_torch_state_dict(model, state_dict, strict=False)
    assert report.loaded == {"start": "start"}
    assert report.missing == ["new"] and report.unexpected == ["end", "head"]
    np.testing.assert_array_equal(to_numpy(model.layers[-1].kernel), new)


def test_in_order_only_where_shapes_agree():
    state_dict = {**modules("0"), **modules("1", size=2)}
    model = dense_model("a", "b")
    report = load_torch_state_dict(model, state_dict, strict=False)
    assert report.loaded == {} and report.missing == ["a", "b"] and report.unexpected == ["0", "1"]
    report = load_torch_state_dict(model, modules("0", "1"), strict=False)
    assert report.loaded == {"a": "0", "b": "1"}


def test_parts_of_a_module():
    layers = [kl.Dense(3, use_bias=False, name="a"), kl.Dense(3, name="b")]
    model = keras.Sequential([keras.Input((3,)), *layers])
    state_dict = {key: value for key, value in modules("a", "b").items() if key != "b.bias"}
    report = load_torch_state_dict(model, state_dict, strict=False)
    assert report.loaded == {"a": "a", "b": "b"}
    assert report.missing == ["b/bias"] and report.unexpected == ["a.bias"]


def test_shapes_that_differ_are_refused_all_the_same():
    model = dense_model("a")
    expected = r"expected of module 'a' weight of shape \(3, 3\). Received: \(2, 2\)"
    with pytest.raises(ValueError, match=expected):
        load_torch_state_dict(model, modules("a", size=2), strict=False)


def test_layers_without_a_counterpart_are_left():
    heads = kl.MultiHeadAttention(1, 3, name="attention")
    x = inputs = keras.Input((2, 3))
    model = keras.Model(inputs, kl.Dense(3, name="fc")(heads(x, x)))
    report = load_torch_state_dict(model, modules("fc"), strict=False)
    assert report.loaded == {"fc": "fc"} and len(report.missing) == 4
    expected = r"\(EinsumDense\) is not allowed. Allowed: layers that correspond"
    with pytest.raises(ValueError, match=expected):
        load_torch_state_dict(model, modules("fc"))


@keras.saving.register_keras_serializable("tests")
class Scaled(keras.Model):
    """A model with a weight of its own beside that of its layer."""

    def __init__(self, shape):
        super().__init__(name="scaled")
        self.scale = self.add_weight(shape=shape, name="scale")
        self.fc = kl.Dense(3, name="fc")

    def call(self, x):
        return self.fc(x) * self.scale


@needs_torch
def test_weights_of_your_own_layers():
    model = Scaled((3,))
    model(np.ones((1, 3), "float32"))
    state_dict = {"scale": np.arange(3.0).reshape(1, 3, 1), **modules("fc")}
    report = load_torch_state_dict(model, state_dict, names={"scaled": ""})
    assert report.loaded == {"scaled": "", "fc": "fc"}
    np.testing.assert_array_equal(to_numpy(model.scale), np.arange(3.0))
    given_back = to_torch_state_dict(model, names=report.loaded)["scale"]
    np.testing.assert_array_equal(given_back, np.arange(3.0).reshape(1, 3, 1))


@needs_torch
@pytest.mark.parametrize("prefix", ["", "module."])
def test_parameters_of_the_root_module(prefix):
    model = Scaled((1, 3))
    model(np.ones((1, 3), "float32"))
    state_dict = {"scale": np.arange(3.0).reshape(3, 1), **modules("fc")}
    state_dict = {f"{prefix}{name}": array for name, array in state_dict.items()}
    report = load_torch_state_dict(model, state_dict)
    assert report.loaded == {"scaled": prefix.rstrip("."), "fc": f"{prefix}fc"}
    np.testing.assert_array_equal(to_numpy(model.scale), [[0, 1, 2]])
    given_back = to_torch_state_dict(model, names=report.loaded)
    assert set(given_back) == set(state_dict)
    for name, array in state_dict.items():
        np.testing.assert_array_equal(given_back[name], array)
    assert set(to_torch_state_dict(model)) == {"scale", "fc.weight", "fc.bias"}


def test_weights_of_your_own_layers_whose_layout_is_not_known_are_refused():
    model = Scaled((3, 3))
    model(np.ones((1, 3), "float32"))
    expected = r"Layer 'scaled' \(Scaled\) has a weight 'scale' of shape \(3, 3\), whose layout"
    with pytest.raises(ValueError, match=expected):
        load_torch_state_dict(model, {"scale": np.ones((3, 3)), **modules("fc")})


def test_a_failed_load_changes_nothing():
    model = keras.Sequential(
        [
            keras.Input((3,)),
            kl.Dense(3, name="a"),
            keras_wn.layers.WNDense(3, use_gain=False, name="b"),
        ]
    )
    before = model.get_weights()
    # The first layer could be loaded.
    with pytest.raises(ValueError, match="Layer 'b' has use_gain=False and cannot hold a gain"):
        load_torch_state_dict(model, modules("a", "b"))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fresh_normalization_without_a_layer_is_no_copy_of_another():
    """Weights that are all ones and zeros are equal in modules that are not the same."""
    model = keras.Sequential(
        [keras.Input((4,)), kl.Dense(4), kl.LayerNormalization(), kl.Dense(4, use_bias=False)]
    )
    ones, zeros = np.ones(4), np.zeros(4)
    rng = np.random.default_rng(0)
    state_dict = {
        "0.weight": rng.normal(size=(4, 4)),
        "0.bias": zeros,
        "1.weight": ones.copy(),
        "1.bias": zeros.copy(),
        "2.weight": rng.normal(size=(4, 4)),
        "3.weight": ones.copy(),
        "3.bias": zeros.copy(),
    }
    expected = "has 3 layers with weights, .* the state dict 4 modules"
    with pytest.raises(ValueError, match=expected):
        load_torch_state_dict(model, state_dict)
    # The same memory: one module under two names.
    state_dict |= {"3.weight": state_dict["1.weight"], "3.bias": state_dict["1.bias"]}
    assert load_torch_state_dict(model, state_dict).missing == []
