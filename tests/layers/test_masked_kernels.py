"""Layers that mask their kernels, in the wrapper, against the same in PyTorch."""

import keras
import numpy as np
import pytest

from keras_wn.layers import WeightNormalization
from tests.helpers import gradients, to_numpy

torch = pytest.importorskip("torch", reason="PyTorch is the measure")
MASK = np.triu(np.ones((5, 4), "float32"))


class Masked(keras.constraints.Constraint, keras.initializers.Initializer):
    """Multiplies a kernel by the mask, at the start and after each step."""

    def __call__(self, x, dtype=None):
        if isinstance(x, tuple):
            x = keras.random.normal(x, dtype=dtype, seed=0)
        return keras.ops.multiply(x, MASK)


class MaskedDense(keras.layers.Dense):
    """A layer of MADE: its `call` masks the kernel."""

    def call(self, x):
        return keras.ops.matmul(x, keras.ops.multiply(self.kernel, MASK)) + self.bias


def test_outputs_and_gradients_of_a_masked_layer_are_those_of_pytorch():
    layer = WeightNormalization(
        MaskedDense(4, kernel_initializer=Masked(), kernel_constraint=Masked())
    )
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    cotangent = np.random.default_rng(1).normal(size=(3, 4)).astype("float32")
    layer.build(x.shape)
    layer.g.assign([0.5, 1.0, 2.0, 3.0])
    v, g, mask = (
        torch.tensor(np.array(to_numpy(one)), requires_grad=True)
        for one in (layer.v, layer.g, MASK)
    )
    masked = v * mask.detach()
    w = g * masked / masked.square().sum(dim=0).sqrt()
    outputs = torch.tensor(x) @ w
    np.testing.assert_allclose(to_numpy(layer(x)), outputs.detach().numpy(), rtol=1e-5, atol=1e-6)
    (outputs * torch.tensor(cotangent)).sum().backward()
    found = gradients(layer, x, cotangent)
    np.testing.assert_allclose(found["kernel"], v.grad.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["kernel_g"], g.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_masked_entries_stay_0_and_the_norm_is_that_of_the_others():
    layer = WeightNormalization(
        MaskedDense(4, kernel_initializer=Masked(), kernel_constraint=Masked())
    )
    model = keras.Sequential([keras.Input((5,)), layer])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    x = np.random.default_rng(0).normal(size=(32, 5))
    model.fit(x, np.sin(x[:, :4]), epochs=3, verbose=0)
    np.testing.assert_array_equal(to_numpy(layer.v)[MASK == 0], 0)
    w = to_numpy(layer.effective_kernel)
    np.testing.assert_allclose(
        np.linalg.norm(w * MASK, axis=0), np.abs(to_numpy(layer.g)), rtol=1e-4
    )
