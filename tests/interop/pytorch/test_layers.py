"""Loads every kind of layer that has a counterpart in PyTorch, and saves it again."""

import contextlib
import re

import keras
import numpy as np
import pytest
import torch
from keras import layers as kl
from torch import nn

import keras_wn
from keras_wn.interop import load_torch_state_dict, to_torch_state_dict
from keras_wn.layers import WeightNormalization
from tests.helpers import to_numpy

# PyTorch announces the removal of the older one.
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
weight_norm = nn.utils.parametrizations.weight_norm
RNG = np.random.default_rng(0)


def randomized(module):
    torch.manual_seed(0)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.1)
    return module.eval()


def sequential(layer, shape):
    return keras.Sequential([keras.Input(shape[1:], dtype="float32"), layer])


def outputs_of(module, x):
    """Calls a PyTorch module on an input in Keras' order of axes. The output has that order too."""
    channels_first = isinstance(module, CHANNELS_FIRST) and x.ndim > 2
    y = module(torch.tensor(np.moveaxis(x, -1, 1) if channels_first else x))
    y = y[0] if isinstance(module, nn.RNNBase) else y
    y = y.detach().numpy()
    return np.moveaxis(y, 1, -1) if channels_first else y


CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.PReLU,
)


def assert_there_and_back(layer, make_module, x):
    """The module's outputs in Keras, and its own entries on the way back."""
    module, model = randomized(make_module()), sequential(layer, x.shape)
    report = load_torch_state_dict(model, module.state_dict())
    np.testing.assert_allclose(to_numpy(model(x)), outputs_of(module, x), rtol=1e-4, atol=1e-5)
    state_dict = to_torch_state_dict(model, names=report.loaded)
    fresh = make_module().eval()
    fresh.load_state_dict(state_dict)
    for entry, value in module.state_dict().items():
        # Keras has the sum of the two biases of LSTM and RNN.
        if "bias_" not in entry or isinstance(module, nn.GRU):
            torch.testing.assert_close(fresh.state_dict()[entry], value, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(outputs_of(fresh, x), outputs_of(module, x), rtol=1e-4, atol=1e-5)


# Module -> the Keras layer, the module, the input's shape in Keras' order, and each dim of a norm
# in PyTorch with the axes of the same norm in Keras.
KERNELS = {
    "Linear": (
        lambda: kl.Dense(3),
        lambda: nn.Linear(4, 3),
        (2, 4),
        {0: (0,), 1: (1,), None: (0, 1)},
    ),
    "Conv1d": (
        lambda: kl.Conv1D(3, 2),
        lambda: nn.Conv1d(4, 3, 2),
        (2, 6, 4),
        {0: (0, 1), 1: (0, 2), 2: (1, 2), None: (0, 1, 2)},
    ),
    "Conv2d": (
        lambda: kl.Conv2D(6, 3, groups=2),
        lambda: nn.Conv2d(4, 6, 3, groups=2),
        (2, 5, 6, 4),
        {0: (0, 1, 2), 1: (0, 1, 3), 2: (1, 2, 3), 3: (0, 2, 3), None: (0, 1, 2, 3)},
    ),
    "Conv3d": (
        lambda: kl.Conv3D(3, 2),
        lambda: nn.Conv3d(4, 3, 2),
        (2, 4, 5, 3, 4),
        {0: (0, 1, 2, 3), 2: (1, 2, 3, 4)},
    ),
    "ConvTranspose1d": (
        lambda: kl.Conv1DTranspose(3, 3, 2),
        lambda: nn.ConvTranspose1d(4, 3, 3, 2),
        (2, 6, 4),
        {0: (0, 1), 1: (0, 2), 2: (1, 2), None: (0, 1, 2)},
    ),
    "ConvTranspose2d": (
        lambda: kl.Conv2DTranspose(3, 2),
        lambda: nn.ConvTranspose2d(4, 3, 2),
        (2, 5, 6, 4),
        {0: (0, 1, 2), 1: (0, 1, 3), None: (0, 1, 2, 3)},
    ),
    "ConvTranspose3d": (
        lambda: kl.Conv3DTranspose(3, 2),
        lambda: nn.ConvTranspose3d(4, 3, 2),
        (2, 3, 4, 5, 4),
        {1: (0, 1, 2, 4)},
    ),
    "depthwise Conv1d": (
        lambda: kl.DepthwiseConv1D(3, depth_multiplier=2),
        lambda: nn.Conv1d(4, 8, 3, groups=4),
        (2, 6, 4),
        {0: (0,), 2: (1, 2), None: (0, 1, 2)},
    ),
    "depthwise Conv2d": (
        lambda: kl.DepthwiseConv2D(2),
        lambda: nn.Conv2d(4, 4, 2, groups=4),
        (2, 5, 6, 4),
        {0: (0, 1), 3: (0, 2, 3)},
    ),
    "Embedding": (
        lambda: kl.Embedding(5, 3),
        lambda: nn.Embedding(5, 3),
        (2, 4),
        {0: (1,), 1: (0,)},
    ),
}
NORMS = [(name, dim) for name, case in KERNELS.items() for dim in case[3]]


def input_of(name):
    shape = KERNELS[name][2]
    if name == "Embedding":
        return RNG.integers(0, 5, size=shape).astype("int32")
    return RNG.normal(size=shape).astype("float32")


@pytest.mark.parametrize("name", KERNELS)
def test_plain_layers(name):
    make, make_module, _, _ = KERNELS[name]
    assert_there_and_back(make(), make_module, input_of(name))


@pytest.mark.parametrize("name, dim", NORMS)
def test_wrapper_with_the_axes_of_dim_keeps_v_and_g(name, dim):
    make, make_module, _, axes = KERNELS[name]
    layer = WeightNormalization(make(), axis=axes[dim])
    assert_there_and_back(layer, lambda: weight_norm(make_module(), dim=dim), input_of(name))


@pytest.mark.parametrize("name, dim", NORMS)
def test_subclass_keeps_w_and_says_which_axes_keep_v_and_g(name, dim):
    make, make_module, _, axes = KERNELS[name]
    x = input_of(name)
    module = randomized(weight_norm(make_module(), dim=dim))
    model = keras_wn.weight_norm(sequential(make(), x.shape))
    own_dim = 1 if "Transpose" in name else 0
    layer = model.layers[0].name
    warns = pytest.warns(UserWarning, match=re.escape(f"'{layer}': axis={axes[dim]}"))
    with warns if dim != own_dim else contextlib.nullcontext():
        report = load_torch_state_dict(model, module.state_dict())
    assert report.other_axes == ({} if dim == own_dim else {layer: axes[dim]})
    np.testing.assert_allclose(to_numpy(model(x)), outputs_of(module, x), rtol=1e-4, atol=1e-5)
    # The way back has the layer's own norm.
    fresh = weight_norm(make_module(), dim=own_dim)
    fresh.load_state_dict(to_torch_state_dict(model, names=report.loaded))
    torch.testing.assert_close(fresh.weight, module.weight, rtol=1e-5, atol=1e-6)


# Keras layer, module, and the input's shape in Keras' order.
OTHERS = {
    "BatchNorm1d": (lambda: kl.BatchNormalization(epsilon=1e-5), lambda: nn.BatchNorm1d(4), (5, 4)),
    "BatchNorm2d": (
        lambda: kl.BatchNormalization(epsilon=1e-5, center=False, scale=False),
        lambda: nn.BatchNorm2d(4, affine=False),
        (2, 3, 3, 4),
    ),
    "LayerNorm": (lambda: kl.LayerNormalization(epsilon=1e-5), lambda: nn.LayerNorm(4), (2, 3, 4)),
    "GroupNorm": (
        lambda: kl.GroupNormalization(2, epsilon=1e-5),
        lambda: nn.GroupNorm(2, 4),
        (2, 5, 4),
    ),
    "PReLU": (lambda: kl.PReLU(shared_axes=[1, 2]), nn.PReLU, (2, 5, 1)),
    "PReLU of channels": (lambda: kl.PReLU(shared_axes=[1]), lambda: nn.PReLU(4), (2, 5, 4)),
    "RNN": (lambda: kl.SimpleRNN(3, return_sequences=True), lambda: nn.RNN(4, 3), (2, 5, 4)),
    "RNN of relu": (
        lambda: kl.SimpleRNN(3, activation="relu", return_sequences=True),
        lambda: nn.RNN(4, 3, nonlinearity="relu"),
        (2, 5, 4),
    ),
    "LSTM": (lambda: kl.LSTM(3, return_sequences=True), lambda: nn.LSTM(4, 3), (2, 5, 4)),
    "LSTM without bias": (
        lambda: kl.LSTM(3, use_bias=False, return_sequences=True),
        lambda: nn.LSTM(4, 3, bias=False),
        (2, 5, 4),
    ),
    "GRU": (lambda: kl.GRU(3, return_sequences=True), lambda: nn.GRU(4, 3), (2, 5, 4)),
    "bidirectional LSTM": (
        lambda: kl.Bidirectional(kl.LSTM(3, return_sequences=True)),
        lambda: nn.LSTM(4, 3, bidirectional=True),
        (2, 5, 4),
    ),
    "bidirectional GRU": (
        lambda: kl.Bidirectional(kl.GRU(3, return_sequences=True)),
        lambda: nn.GRU(4, 3, bidirectional=True),
        (2, 5, 4),
    ),
    "cells": (
        lambda: kl.RNN([kl.GRUCell(3), kl.GRUCell(2)], return_sequences=True),
        lambda: TwoGRUs(4, 3, 2),
        (2, 5, 4),
    ),
    "Linear over time": (
        lambda: kl.TimeDistributed(kl.Dense(3)),
        lambda: nn.Linear(4, 3),
        (2, 5, 4),
    ),
}


class TwoGRUs(nn.Module):
    def __init__(self, *widths):
        super().__init__()
        self.first, self.second = nn.GRU(*widths[:2]), nn.GRU(*widths[1:])

    def forward(self, x):
        return self.second(self.first(x.transpose(0, 1))[0])[0].transpose(0, 1)


@pytest.mark.parametrize("name", OTHERS)
def test_other_layers(name):
    make, make_module, shape = OTHERS[name]
    x = RNG.normal(size=shape).astype("float32")

    def module():
        made = make_module()
        if isinstance(made, nn.RNNBase):
            made.batch_first = True
        return made

    assert_there_and_back(make(), module, x)


def test_one_slope_of_prelu_is_given_to_all_channels():
    model = sequential(kl.PReLU(shared_axes=[1]), (2, 5, 4))
    load_torch_state_dict(model, {"weight": np.array([0.3])})
    np.testing.assert_allclose(to_numpy(model.layers[0].alpha), np.full((1, 4), 0.3), rtol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_two_layers_of_a_recurrent_module(kind):
    keras_class = getattr(kl, "SimpleRNN" if kind == "RNN" else kind)
    module = nn.ModuleDict({"lstm": getattr(nn, kind)(4, 3, num_layers=2, batch_first=True)})
    x = RNG.normal(size=(2, 5, 4)).astype("float32")
    expected = module["lstm"](torch.tensor(x))[0]
    for names in (("lstm_l0", "lstm_l1"), ("a", "b")):
        layers = [keras_class(3, return_sequences=True, name=name) for name in names]
        model = keras.Sequential([keras.Input((5, 4)), *layers])
        report = load_torch_state_dict(model, module.state_dict())
        assert report.loaded == dict(zip(names, ("lstm.l0", "lstm.l1"), strict=True))
        np.testing.assert_allclose(to_numpy(model(x)), expected.detach(), rtol=1e-4, atol=1e-5)
        fresh = nn.ModuleDict({"lstm": getattr(nn, kind)(4, 3, num_layers=2, batch_first=True)})
        fresh.load_state_dict(to_torch_state_dict(model, names=report.loaded))
        torch.testing.assert_close(fresh["lstm"](torch.tensor(x))[0], expected)


def test_stack_of_cells_is_the_layers_of_one_module():
    module = nn.ModuleDict({"rnn": nn.LSTM(4, 3, num_layers=2, batch_first=True)})
    cells = [WeightNormalization(kl.LSTMCell(3)), kl.LSTMCell(3)]
    model = sequential(kl.RNN(cells, return_sequences=True, name="rnn"), (2, 5, 4))
    report = load_torch_state_dict(model, module.state_dict())
    assert report.loaded == {"rnn/l0": "rnn.l0", "rnn/l1": "rnn.l1"}
    x = RNG.normal(size=(2, 5, 4)).astype("float32")
    expected = module["rnn"](torch.tensor(x))[0].detach()
    np.testing.assert_allclose(to_numpy(model(x)), expected, rtol=1e-4, atol=1e-5)
    assert "rnn.parametrizations.weight_hh_l0.original0" in to_torch_state_dict(model)
    assert "rnn.weight_hh_l1" in to_torch_state_dict(model)


@pytest.mark.parametrize("generation", ["parametrizations", "weight_g"])
@pytest.mark.parametrize("weights", [["weight_hh_l0"], ["weight_ih_l0", "weight_hh_l0"]])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_normalized_recurrent_weights(kind, weights, generation):
    normalize = weight_norm if generation == "parametrizations" else nn.utils.weight_norm

    def make_module():
        module = getattr(nn, kind)(4, 3, batch_first=True)
        for name in weights:
            module = normalize(module, name)
        return module

    module = randomized(make_module())
    layer = getattr(kl, "SimpleRNN" if kind == "RNN" else kind)(3, return_sequences=True)
    kernels = {"weight_ih_l0": "kernel", "weight_hh_l0": "recurrent_kernel"}
    wrapper = WeightNormalization(layer, weights=[kernels[name] for name in weights])
    model = sequential(wrapper, (2, 5, 4))
    report = load_torch_state_dict(model, module.state_dict())
    x = RNG.normal(size=(2, 5, 4)).astype("float32")
    expected = module(torch.tensor(x))[0].detach()
    np.testing.assert_allclose(to_numpy(model(x)), expected, rtol=1e-4, atol=1e-5)
    fresh, form = make_module(), {"parametrizations": generation == "parametrizations"}
    fresh.load_state_dict(to_torch_state_dict(model, names=report.loaded, **form))
    for entry, value in module.state_dict().items():
        if "bias" not in entry or kind == "GRU":
            torch.testing.assert_close(fresh.state_dict()[entry], value, rtol=1e-6, atol=1e-7)


def test_normalized_bidirectional_layer():
    module = nn.GRU(4, 3, batch_first=True, bidirectional=True)
    for name in ("weight_ih_l0", "weight_hh_l0", "weight_ih_l0_reverse", "weight_hh_l0_reverse"):
        module = weight_norm(module, name)
    module = randomized(module)
    wrapper = WeightNormalization(kl.Bidirectional(kl.GRU(3, return_sequences=True)))
    model = sequential(wrapper, (2, 5, 4))
    load_torch_state_dict(model, module.state_dict())
    x = RNG.normal(size=(2, 5, 4)).astype("float32")
    expected = module(torch.tensor(x))[0].detach()
    np.testing.assert_allclose(to_numpy(model(x)), expected, rtol=1e-4, atol=1e-5)
    state_dict = to_torch_state_dict(model, names={model.layers[0].name: ""})
    for entry, value in module.state_dict().items():
        torch.testing.assert_close(state_dict[entry], value, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_cells(kind):
    module = getattr(nn, f"{kind}Cell")(4, 3)
    cell = getattr(kl, "SimpleRNNCell" if kind == "RNN" else f"{kind}Cell")(3, name="cell")
    cell.build((None, 4))
    load_torch_state_dict(cell, module.state_dict())
    x, state = RNG.normal(size=(2, 4)).astype("float32"), np.full((2, 3), 0.5, "float32")
    states = [state, state] if kind == "LSTM" else [state]
    inputs = [torch.tensor(one) for one in states]
    expected = module(torch.tensor(x), tuple(inputs) if kind == "LSTM" else inputs[0])
    expected = expected[0] if kind == "LSTM" else expected
    found = cell(keras.ops.convert_to_tensor(x), [keras.ops.convert_to_tensor(s) for s in states])
    np.testing.assert_allclose(to_numpy(found[0]), expected.detach(), rtol=1e-4, atol=1e-5)
    fresh = getattr(nn, f"{kind}Cell")(4, 3)
    fresh.load_state_dict(to_torch_state_dict(cell, names={"cell": ""}))


def test_strict_form_and_gains_of_one():
    layers = [
        kl.Dense(3, name="a", use_bias=False),
        keras_wn.layers.WNDense(2, use_gain=False, name="b"),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers])
    state_dict = to_torch_state_dict(model)
    assert {name: tuple(value.shape) for name, value in state_dict.items()} == {
        "a.weight": (3, 4),
        "b.parametrizations.weight.original0": (2, 1),
        "b.parametrizations.weight.original1": (2, 3),
        "b.bias": (2,),
    }
    assert torch.all(state_dict["b.parametrizations.weight.original0"] == 1)


def test_logarithm_of_a_gain():
    layer = keras_wn.layers.WNDense(1, log_gain=True, use_bias=False, name="fc")
    model = keras.Sequential([keras.Input((2,)), layer])
    v = np.array([[3.0, 4.0]])
    load_torch_state_dict(model, {"weight_g": np.array([[10.0]]), "weight_v": v})
    state_dict = to_torch_state_dict(model, parametrizations=False)
    np.testing.assert_allclose(state_dict["fc.weight_g"], [[10.0]], rtol=1e-5)
    # A negative gain turns v.
    load_torch_state_dict(model, {"weight_g": np.array([[-10.0]]), "weight_v": v})
    np.testing.assert_allclose(to_numpy(layer.effective_kernel)[:, 0], [-6, -8], rtol=1e-5)


def test_norms_that_pytorch_does_not_have_go_back_with_the_same_weight():
    layer = WeightNormalization(kl.Conv1D(2, 3), axis=0, name="wide")
    model = sequential(layer, (2, 6, 4))
    with pytest.warns(UserWarning, match=r"does not have the norms of layers \['wide'\]"):
        state_dict = to_torch_state_dict(model, names={"wide": ""})
    module = weight_norm(nn.Conv1d(4, 2, 3))
    module.load_state_dict(state_dict)
    x = RNG.normal(size=(2, 6, 4)).astype("float32")
    np.testing.assert_allclose(to_numpy(model(x)), outputs_of(module, x), rtol=1e-4, atol=1e-5)


def test_bfloat16():
    layer = keras_wn.layers.WNDense(3, name="fc", dtype="bfloat16")
    model = keras.Sequential([keras.Input((4,)), layer])
    state_dict = to_torch_state_dict(model, names={"fc": ""}, parametrizations=False)
    assert {name: value.dtype for name, value in state_dict.items()} == dict.fromkeys(
        ["weight_g", "weight_v", "bias"], torch.bfloat16
    )
    load_torch_state_dict(model, state_dict)


class LogNormConv(torch.nn.Conv2d):
    """The weight normalization of NVAE's convolutions."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.log_weight_norm = torch.nn.Parameter(torch.randn(self.out_channels, 1, 1, 1))

    def forward(self, x):
        norm = self.weight.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        weight = self.log_weight_norm.exp() * self.weight / (norm + 1e-5)
        return self._conv_forward(x, weight, self.bias)


@pytest.mark.parametrize("log_gain", [True, False])
@pytest.mark.parametrize("normalized", [True, False])
def test_log_weight_norm_of_nvae(normalized, log_gain):
    module = LogNormConv(3, 4, 3)
    with torch.no_grad():
        # A filter so small that the 1e-5 in the denominator counts.
        module.weight[0] *= 1e-5
    layer = kl.Conv2D(4, 3)
    if normalized:
        layer = keras_wn.layers.WNConv2D(4, 3, log_gain=log_gain)
    model = keras.Sequential([keras.Input((6, 6, 3)), layer])
    load_torch_state_dict(model, module.state_dict())
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype("float32")
    expected = module(torch.tensor(x.transpose(0, 3, 1, 2))).detach().numpy()
    np.testing.assert_allclose(
        to_numpy(model(x)), expected.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5
    )
    if normalized:
        v = module.weight.detach().numpy().transpose(2, 3, 1, 0)
        np.testing.assert_array_equal(to_numpy(layer.v), v)


def test_a_log_weight_norm_of_another_size_is_refused():
    state_dict = {"weight": np.ones((4, 3, 3, 3)), "log_weight_norm": np.ones(3)}
    model = keras.Sequential([keras.Input((6, 6, 3)), kl.Conv2D(4, 3, use_bias=False)])
    with pytest.raises(ValueError, match=r"log_weight_norm' has shape \(3,\) and the weight"):
        load_torch_state_dict(model, state_dict)


@pytest.mark.parametrize("wrapped", [True, False])
def test_plain_weights_as_directions_of_a_net_that_normalizes_by_itself(wrapped):
    class Normalizing(torch.nn.Linear):
        def forward(self, x):
            return torch.nn.functional.linear(
                x, torch.nn.functional.normalize(self.weight), self.bias
            )

    module = Normalizing(4, 3)
    layer = keras_wn.layers.WNDense(3, use_gain=False)
    if wrapped:
        layer = keras_wn.layers.WeightNormalization(kl.Dense(3), use_gain=False)
    model = keras.Sequential([keras.Input((4,)), layer])
    with pytest.raises(ValueError, match="Allowed: use_gain=True, or as_directions=True"):
        load_torch_state_dict(model, module.state_dict())
    load_torch_state_dict(model, module.state_dict(), as_directions=True)
    np.testing.assert_array_equal(to_numpy(layer.v), module.weight.detach().numpy().T)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    np.testing.assert_allclose(
        to_numpy(model(x)), module(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-6
    )
