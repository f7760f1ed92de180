"""Weights from PyTorch and to it, with PyTorch's own weight_norm as the measure of outputs and gradients."""

import keras
import numpy as np
import pytest
import torch
from keras import layers as kl

import keras_wn
from keras_wn.interop import load_torch_state_dict, to_torch_state_dict
from keras_wn.layers import WeightNormalization
from tests.helpers import to_numpy
from tests.interop.pytorch.generators import HiFiGAN, WaveNet, hifigan, wavenet

# PyTorch announces the removal of the older one.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.nn.utils.weight_norm.*is deprecated:FutureWarning")
GENERATIONS = {
    "parametrizations": torch.nn.utils.parametrizations.weight_norm,
    "weight_g": torch.nn.utils.weight_norm,
}
RNG = np.random.default_rng(0)
MODELS = {
    "wavenet": (wavenet, WaveNet, RNG.normal(size=(2, 20, 1)).astype("float32")),
    "hifigan": (hifigan, HiFiGAN, RNG.normal(size=(2, 9, 5)).astype("float32")),
}


def over_all_but_the_last(layer):
    """PyTorch's `dim=0`, also for transposed kernels."""
    return WeightNormalization(
        layer, axis=range(len(layer.kernel_size) + 1) if hasattr(layer, "kernel_size") else 0, name=layer.name
    )


def shaken(module):
    """Gains that are not the norms."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("weight_g", "original0")):
                parameter.mul_(torch.rand_like(parameter) + 0.5)
    return module


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("name", MODELS)
def test_generators_have_the_outputs_and_gradients_of_torch(name, generation):
    make, module_class, x = MODELS[name]
    torch.manual_seed(0)
    module = shaken(module_class(GENERATIONS[generation]))
    model = make(over_all_but_the_last)
    load_torch_state_dict(model, module.state_dict())
    expected = module(torch.tensor(x))
    np.testing.assert_allclose(to_numpy(model(x)), expected.detach().numpy(), rtol=1e-4, atol=1e-5)

    cotangent = RNG.normal(size=expected.shape).astype("float32")
    (expected * torch.tensor(cotangent)).sum().backward()
    of_torch = {name: parameter.grad for name, parameter in module.named_parameters()}
    # The gradients in Keras' layout, by the same function that reads weights: into a model whose weights they become.
    as_weights = make(over_all_but_the_last)
    load_torch_state_dict(as_weights, of_torch)
    found = gradients_by_path(model, x, cotangent)
    assert len(found) == len(of_torch)
    for variable in as_weights.trainable_variables:
        np.testing.assert_allclose(
            found[variable.path], to_numpy(variable), rtol=2e-3, atol=2e-4, err_msg=variable.path
        )


def gradients_by_path(model, x, cotangent):
    model.zero_grad()
    keras.ops.sum(model(x) * keras.ops.convert_to_tensor(cotangent)).backward()
    return {v.path: to_numpy(v.value.grad) for v in model.trainable_variables}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["subclasses", "plain"])
def test_other_norms_and_plain_layers_put_out_the_same(name, kind):
    make, module_class, x = MODELS[name]
    module = shaken(module_class(GENERATIONS["parametrizations"]))
    model = make(lambda layer: layer)
    if kind == "subclasses":  # Per output channel, also where PyTorch has it per input channel.
        model = keras_wn.weight_norm(model)
    load_torch_state_dict(model, module.state_dict())
    np.testing.assert_allclose(to_numpy(model(x)), module(torch.tensor(x)).detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("name", MODELS)
def test_round_trip_through_torch_is_exact(name, generation):
    make, module_class, x = MODELS[name]
    wrap = GENERATIONS[generation]
    module = shaken(module_class(wrap))
    model = make(over_all_but_the_last)
    load_torch_state_dict(model, module.state_dict())
    names = {
        layer.name: layer.name.replace("_", ".") if layer.name[-1].isdigit() else layer.name for layer in model.layers
    }
    state_dict = to_torch_state_dict(model, names=names, parametrizations=generation == "parametrizations")
    for entry, value in module.state_dict().items():
        torch.testing.assert_close(state_dict[entry], value, rtol=1e-6, atol=0)
    other = module_class(wrap)
    other.load_state_dict(state_dict)
    torch.testing.assert_close(other(torch.tensor(x)), module(torch.tensor(x)))


# Keras layer, PyTorch module, input in Keras' order, the module's dims.
LAYERS = {
    "Linear": (lambda: kl.Dense(3), lambda: torch.nn.Linear(4, 3), (2, 4), (0, 1, None)),
    "Conv1d": (lambda: kl.Conv1D(3, 2), lambda: torch.nn.Conv1d(4, 3, 2), (2, 6, 4), (0, 1, None)),
    "Conv2d": (lambda: kl.Conv2D(6, 3, groups=2), lambda: torch.nn.Conv2d(4, 6, 3, groups=2), (2, 5, 6, 4), (0, 1, 2, None)),
    "Conv3d": (lambda: kl.Conv3D(3, 2), lambda: torch.nn.Conv3d(4, 3, 2), (2, 4, 5, 3, 4), (0, 1, None)),
    "ConvTranspose1d": (lambda: kl.Conv1DTranspose(3, 3, 2), lambda: torch.nn.ConvTranspose1d(4, 3, 3, 2), (2, 6, 4), (0, 1, None)),
    "ConvTranspose2d": (lambda: kl.Conv2DTranspose(3, 2), lambda: torch.nn.ConvTranspose2d(4, 3, 2), (2, 5, 6, 4), (0, 1, None)),
    "ConvTranspose3d": (lambda: kl.Conv3DTranspose(3, 2), lambda: torch.nn.ConvTranspose3d(4, 3, 2), (2, 3, 4, 5, 4), (0, 1, None)),
}  # fmt: skip


@pytest.mark.parametrize("name, dim", [(name, dim) for name, case in LAYERS.items() for dim in case[3]])
@pytest.mark.parametrize("log_gain", [False, True])
def test_every_module_and_dim(name, dim, log_gain):
    make, make_module, shape, _ = LAYERS[name]
    module = shaken(torch.nn.utils.parametrizations.weight_norm(make_module(), dim=dim))
    model = keras_wn.weight_norm(keras.Sequential([keras.Input(shape[1:]), make()]))
    if log_gain:
        model = keras.Sequential([keras.Input(shape[1:]), WeightNormalization(make(), log_gain=True)])
    load_torch_state_dict(model, module.state_dict())
    x = RNG.normal(size=shape).astype("float32")
    expected = module(torch.tensor(np.moveaxis(x, -1, 1)) if x.ndim > 2 else torch.tensor(x)).detach().numpy()
    expected = np.moveaxis(expected, 1, -1) if x.ndim > 2 else expected
    np.testing.assert_allclose(to_numpy(model(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dim", [0, 1, None])
def test_dim_of_the_wrapper_goes_to_torch(dim):
    axis = {0: (0, 1), 1: (0, 2), None: (0, 1, 2)}[dim]
    layer = WeightNormalization(kl.Conv1DTranspose(3, 2), axis=axis, name="up")
    model = keras.Sequential([keras.Input((6, 4)), layer])
    for variable in model.trainable_variables:
        variable.assign(RNG.normal(size=variable.shape))
    module = torch.nn.Sequential()
    module.up = torch.nn.utils.parametrizations.weight_norm(torch.nn.ConvTranspose1d(4, 3, 2), dim=dim)
    module.load_state_dict(to_torch_state_dict(model))
    x = RNG.normal(size=(2, 6, 4)).astype("float32")
    expected = module(torch.tensor(x).transpose(1, 2)).transpose(1, 2).detach().numpy()
    np.testing.assert_allclose(to_numpy(model(x)), expected, rtol=1e-4, atol=1e-5)


def test_plain_and_strict_layers_go_to_torch():
    model = keras.Sequential(
        [keras.Input((4,)), kl.Dense(3, name="a", use_bias=False), keras_wn.layers.WNDense(2, use_gain=False, name="b")]
    )
    state_dict = to_torch_state_dict(model)
    assert {name: tuple(value.shape) for name, value in state_dict.items()} == {
        "a.weight": (3, 4),
        "b.parametrizations.weight.original0": (2, 1),
        "b.parametrizations.weight.original1": (2, 3),
        "b.bias": (2,),
    }
    assert torch.all(state_dict["b.parametrizations.weight.original0"] == 1)


def test_negative_gain_goes_into_a_log_gain_by_turning_v():
    model = keras.Sequential([keras.Input((2,)), keras_wn.layers.WNDense(1, log_gain=True, use_bias=False)])
    load_torch_state_dict(model, {"weight_g": np.array([[-10.0]]), "weight_v": np.array([[3.0, 4.0]])})
    np.testing.assert_allclose(to_numpy(model.layers[0].effective_kernel)[:, 0], [-6, -8], rtol=1e-5)


def test_root_module_and_bfloat16():
    model = keras.Sequential([keras.Input((4,)), keras_wn.layers.WNDense(3, name="fc", dtype="bfloat16")])
    state_dict = to_torch_state_dict(model, names={"fc": ""}, parametrizations=False)
    assert {name: value.dtype for name, value in state_dict.items()} == dict.fromkeys(
        ["weight_g", "weight_v", "bias"], torch.bfloat16
    )
    load_torch_state_dict(model, state_dict)
