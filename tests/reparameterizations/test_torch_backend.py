"""PyTorch's own operation against the formula, and where the formula stays."""

import keras
import numpy as np
import pytest

from keras_wn.reparameterizations.torch_backend import make_weight_norm
from keras_wn.reparameterizations.weight_norm import scale, weight_norm

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="PyTorch's own operation."
)

AXIS = (0, 1)
RNG = np.random.default_rng(0)
V, DIRECTION = RNG.normal(size=(2, 3, 5, 4))
G = np.array([0.5, -1.0, 2.0, 3.0])
TYPES = ["float32", "float64"]


def tensors(dtype="float32"):
    import torch

    return [torch.tensor(x.astype(dtype), requires_grad=True) for x in (V, G)]


def fused_weight_norm(v, g, axis):
    return make_weight_norm()(v, g, axis)


def formula(v, g):
    return v * scale(v, g, AXIS)


def weighted(w):
    return (w * w.new_tensor(DIRECTION)).sum()


@pytest.mark.parametrize("dtype", TYPES)
def test_w_and_both_gradients_are_those_of_the_formula(dtype):
    import torch

    v, g = tensors(dtype)
    w = fused_weight_norm(v, g, AXIS)
    torch.testing.assert_close(w, formula(v, g))
    for found, expected in zip(
        *(torch.autograd.grad(weighted(x), (v, g)) for x in (w, formula(v, g))), strict=True
    ):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "trained", [(True, True), (True, False), (False, True)], ids=["both", "v", "g"]
)
def test_second_derivatives_are_those_of_differences(trained):
    import torch

    v, g = (x.requires_grad_(needed) for x, needed in zip(tensors("float64"), trained, strict=True))
    assert torch.autograd.gradgradcheck(lambda v, g: fused_weight_norm(v, g, AXIS), (v, g))


@pytest.mark.parametrize("length", [0.0, 1e-25, 1e25, float("nan")])
def test_formula_stays_for_a_norm_out_of_range(length):
    v, g = tensors()
    v = v * v.new_tensor([1.0, 1.0, length, 1.0])
    assert fused_weight_norm(v, g, AXIS) is None
    assert bool(weight_norm(v, g, AXIS)[..., (0, 1, 3)].isfinite().all())


def test_norms_over_long_fan_ins_keep_their_digits():
    import torch

    v = torch.tensor(np.random.default_rng(0).normal(size=(100_000, 8)).astype("float32"))
    w = weight_norm(v, torch.ones(8), (0,))
    torch.testing.assert_close(
        torch.linalg.vector_norm(w.double(), dim=0), torch.ones(8).double(), rtol=5e-7, atol=0
    )


@pytest.mark.parametrize("mode", ["real", "fake"])
def test_formula_stays_while_a_program_is_traced(mode):
    from torch.fx.experimental.proxy_tensor import make_fx

    v, g = tensors()
    traced = make_fx(lambda v, g: weight_norm(v, g, AXIS), tracing_mode=mode)(v, g)
    np.testing.assert_allclose(traced(v, g).detach(), formula(v, g).detach(), rtol=1e-6)


def test_formula_stays_for_units_along_another_axis():
    v, _ = tensors()
    assert fused_weight_norm(v, v.new_ones(3), (1, 2)) is None


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # PyTorch's own use of it.
def test_formula_stays_in_forward_mode_and_transforms():
    import torch
    from torch.autograd import forward_ad

    v, g = tensors()
    direction = v.new_tensor(DIRECTION)
    expected = torch.func.jvp(lambda v: formula(v, g), (v,), (direction,))[1]
    torch.testing.assert_close(
        torch.func.jvp(lambda v: weight_norm(v, g, AXIS), (v,), (direction,))[1], expected
    )
    with forward_ad.dual_level():
        dual = weight_norm(forward_ad.make_dual(v, direction), g, AXIS)
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, expected)
    both = torch.func.vmap(lambda v: weight_norm(v, g, AXIS))(torch.stack([v, 2 * v]))
    torch.testing.assert_close(both[0], both[1])
