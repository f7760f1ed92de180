"""Loads whole networks, and compares them with PyTorch's own weight_norm.

Outputs, gradients, files, folding, and the way back.
"""

import keras
import numpy as np
import pytest
import torch

import keras_wn
from keras_wn.interop import load_torch_state_dict, to_torch_state_dict
from keras_wn.layers import WeightNormalization
from tests.helpers import to_numpy
from tests.interop.pytorch import audio_networks as audio
from tests.interop.pytorch import other_networks as other

# PyTorch announces the removal of the older one.
pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
GENERATIONS = {
    "parametrizations": torch.nn.utils.parametrizations.weight_norm,
    "weight_g": torch.nn.utils.weight_norm,
}


def over_all_but_the_last(layer):
    """PyTorch's `dim=0`, also for transposed kernels."""
    axis = range(len(layer.kernel_size) + 1) if hasattr(layer, "kernel_size") else 0
    return WeightNormalization(layer, axis=axis, name=layer.name)


# Name -> the Keras model, the PyTorch module, and the input's shape.
NETWORKS = {
    "wavenet": (lambda: audio.wavenet(over_all_but_the_last), audio.WaveNet, (2, 20, 1)),
    "hifigan": (lambda: audio.hifigan(over_all_but_the_last), audio.HiFiGAN, (2, 9, 5)),
    "encodec": (audio.encodec, audio.SEANetEncoder, (2, 20, 1)),
    "wav2vec": (audio.positional_convolution, audio.PositionalConvolution, (2, 9, 8)),
    "dac": (audio.dac, audio.EncoderBlock, (2, 12, 4)),
    "dino": (other.dino_head, other.DINOHead, (4, 6)),
    "realnvp": (other.real_nvp, other.RealNVP, (2, 4, 4, 4)),
    "tcn": (other.temporal_network, other.TemporalConvNet, (2, 10, 3)),
}

# The layers whose names are not those of the modules, where the order is not the same either.
NAMES = {"realnvp": other.REAL_NVP_NAMES}


def randomized(module):
    """Gains that are not the norms, and statistics and factors that no module starts with."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point() and "last_layer" not in name:
                value.mul_(torch.rand_like(value) + 0.5)
                if "running_mean" in name or name.endswith("bias"):
                    value.add_(0.3 * torch.randn_like(value))
    return module.eval()


def loaded(name, generation="parametrizations"):
    """A random module, the Keras model with its weights, an input, and the load's report."""
    make, module_class, shape = NETWORKS[name]
    module, model = randomized(module_class(GENERATIONS[generation])), make()
    report = load_torch_state_dict(model, module.state_dict(), names=NAMES.get(name))
    assert report.other_axes == {} and report.missing == [] and report.unexpected == []
    return module, model, audio.sound(*shape), report


def assert_same_outputs(model, x, expected):
    found = model(x)
    pairs = [(found, expected)] if torch.is_tensor(expected) else zip(found, expected, strict=True)
    for one, other_one in pairs:
        np.testing.assert_allclose(to_numpy(one), other_one.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name, generation",
    # The networks that others published have the older form.
    [*((name, "weight_g") for name in NETWORKS), ("hifigan", "parametrizations")],
)
def test_outputs_and_the_way_back(name, generation):
    module, model, x, report = loaded(name, generation)
    expected = module(torch.tensor(x))
    assert_same_outputs(model, x, expected)

    parametrizations = generation == "parametrizations"
    state_dict = to_torch_state_dict(model, names=report.loaded, parametrizations=parametrizations)
    fresh = NETWORKS[name][1](GENERATIONS[generation]).eval()
    # A module that is registered twice has two names, and the state dict one of them.
    absent, unexpected = fresh.load_state_dict(state_dict, strict=name != "tcn")
    assert unexpected == [] and all(".net." in entry for entry in absent)
    torch.testing.assert_close(fresh(torch.tensor(x)), expected)
    for entry, value in module.state_dict().items():
        # Keras has the sum of an LSTM's biases.
        if "lstm.bias" not in entry and "num_batches_tracked" not in entry:
            torch.testing.assert_close(fresh.state_dict()[entry], value, rtol=1e-6, atol=0)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="gradients of PyTorch")
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name):
    module, model, x, _ = loaded(name)
    outputs = module(torch.tensor(x))
    outputs = [outputs] if torch.is_tensor(outputs) else outputs
    cotangents = [torch.tensor(audio.sound(*output.shape)) for output in outputs]
    torch.autograd.backward(outputs, cotangents)
    torch_arrays = {**module.state_dict(), **gradients_by_entry(module)}

    model.zero_grad()
    found = model(x)
    found = found if isinstance(found, list | tuple) else [found]
    torch.autograd.backward(found, cotangents)
    # PyTorch's gradients in Keras' layout, by the function that reads weights: into a model whose
    # weights they become.
    as_weights = NETWORKS[name][0]()
    load_torch_state_dict(as_weights, torch_arrays, names=NAMES.get(name))
    pairs = zip(model.trainable_variables, as_weights.trainable_variables, strict=True)
    for variable, expected in pairs:
        gradient, expected = to_numpy(variable.value.grad), to_numpy(expected)
        # Relative to the largest entry; the gradient of a v of one number is zero but for rounding.
        atol = max(1e-4 * np.abs(expected).max(), 3e-6)
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=atol, err_msg=variable.path)


def gradients_by_entry(module):
    """Gradients by the entries of the state dict, aliases among them."""
    gradients = {parameter.data_ptr(): parameter.grad for parameter in module.parameters()}
    found = {}
    for entry, value in module.state_dict().items():
        gradient = gradients.get(value.data_ptr())
        if gradient is not None:
            # Keras' one bias of an LSTM has the gradient of either, not their sum.
            found[entry] = torch.zeros_like(value) if "lstm.bias_hh" in entry else gradient
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_and_folded_models_put_out_the_same(name, tmp_path):
    module, model, x, _ = loaded(name)
    expected = module(torch.tensor(x))
    model.save(tmp_path / "model.keras")
    assert_same_outputs(keras.saving.load_model(tmp_path / "model.keras"), x, expected)
    assert_same_outputs(keras_wn.fold(model), x, expected)


@pytest.mark.parametrize("name", ["wavenet", "hifigan"])
@pytest.mark.parametrize("kind", ["subclasses", "plain"])
def test_other_norms_and_plain_layers_put_out_the_same(name, kind):
    make = getattr(audio, name)
    module = randomized(NETWORKS[name][1](GENERATIONS["parametrizations"]))
    model = make(lambda layer: layer)
    x = audio.sound(*NETWORKS[name][2])
    if kind == "subclasses":
        model = keras_wn.weight_norm(model)
    if kind == "subclasses" and name == "hifigan":
        # Per output channel, where PyTorch's default is per input channel.
        with pytest.warns(UserWarning, match=r"'ups_0': axis=\(0, 1\), 'ups_1': axis=\(0, 1\)"):
            report = load_torch_state_dict(model, module.state_dict())
        assert report.other_axes == {"ups_0": (0, 1), "ups_1": (0, 1)}
    else:
        load_torch_state_dict(model, module.state_dict())
    assert_same_outputs(model, x, module(torch.tensor(x)))


def test_dino_head_keeps_its_gain():
    _, model, _, _ = loaded("dino")
    last = model.layers[-1]
    assert not last.g.trainable
    np.testing.assert_array_equal(to_numpy(last.g), np.ones(10))


def test_modules_that_are_registered_twice_are_loaded_once():
    module = randomized(other.TemporalConvNet(GENERATIONS["parametrizations"]))
    report = load_torch_state_dict(other.temporal_network(), module.state_dict())
    assert report.loaded["network_0/conv1"] == "network.0.conv1"
    assert report.loaded["network_2/conv2"] == "network.2.conv2"
    # In order, by names that no module has.
    blocks = [other.TemporalBlock(n, 2**i, name=f"x{i}") for i, n in enumerate((5, 5, 4))]
    model = keras.Sequential([keras.Input((None, 3)), *blocks])
    assert load_torch_state_dict(model, module.state_dict()).loaded["x1/conv2"] == "network.1.conv2"
    # A copy that is not one is refused.
    changed = {**module.state_dict(), "network.1.net.4.bias": torch.zeros(5)}
    with pytest.raises(ValueError, match="differs is no layer and module 'network.1.net.4'"):
        load_torch_state_dict(other.temporal_network(), changed)
