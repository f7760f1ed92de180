"""Computes 1 / ||v|| and w on PyTorch, with their gradients in closed form."""

import math
from collections.abc import Callable

from keras_wn.reparameterizations.weight_norm import reciprocal

# Between these norms, squares, cubes and their sums stay far from the limits of float32.
_LEAST, _LARGEST = 2.0**-32, 2.0**32
# The number of entries that are squared at a time. Intermediate tensors of this size stay in the
# cache; allocating one large tensor costs more than the arithmetic.
_ENTRIES_PER_PART = 2**19
# Above this fan-in, PyTorch's own sums of squares lose digits: the relative error of the norm is
# 1e-6 at 10,000 and 1e-4 at a million.
_LARGEST_FAN_IN = 2**13


def make_inverse_norm() -> Callable:
    """Returns the function `inverse_norm(v, axis)`, where `axis` is a tuple."""
    import torch

    class InverseNorm(torch.autograd.Function):
        generate_vmap_rule = True  # Needed for `torch.func.vmap`.

        @staticmethod
        def forward(v, axis):
            # Try the plain sum of squares first, which reads v once. The result shows whether a
            # square may have been out of range.
            inverse = sum_of_squares(v, axis).rsqrt()
            return inverse if _is_moderate(inverse) else reciprocal(v, axis)

        @staticmethod
        def setup_context(context, inputs, output):
            v, context.axis = inputs
            context.save_for_backward(v, output)
            context.save_for_forward(v, output)

        @staticmethod
        def backward(context, upstream):
            v, r = context.saved_tensors
            if _is_moderate(r):
                return v * (r**3 * -upstream), None
            # In this order of the factors, nothing overflows for norms from 2^-100 to 2^100.
            return (v * r) * (r * (-r * upstream)), None

        @staticmethod
        def jvp(context, dv, _):
            v, r = context.saved_tensors
            return -r * ((v * r) * (dv * r)).sum(context.axis, keepdim=True)

    def sum_of_squares(v, axis):
        if axis != tuple(range(v.ndim - 1)):
            return v.square().sum(axis, keepdim=True)
        rows_per_part = max(1, _ENTRIES_PER_PART // v.shape[-1])
        parts = v.reshape(-1, v.shape[-1]).split(rows_per_part)
        return sum(part.square().sum(0) for part in parts).reshape([1] * len(axis) + [-1])

    def inverse_norm(v, axis):
        # A compiler fuses the plain operations itself, and an exporter knows only those.
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return reciprocal(v, axis)
        return InverseNorm.apply(v, axis)

    return inverse_norm


def make_weight_norm() -> Callable:
    """Returns the function `weight_norm(v, g, axis, least)`, which uses PyTorch's fused operation.

    The operation reads v once in the forward pass, and v and dL/dw once in the backward pass. The
    function returns w, or `None` where the caller must use the general formula:

    - on other devices than a CPU, because checking the norms would wait for the device;
    - if `axis` is not all axes but the last, or the fan-in is above 2^13;
    - in forward mode, under the transforms of `torch.func`, and in a compiler or exporter, none of
      which the operation supports;
    - if a norm is not moderate, because the operation squares entries without scaling them;
    - if a norm is smaller than `least`, the norms below which filters count as zero, or `None`.
    """
    import torch
    from torch.autograd import forward_ad

    class FusedWeightNorm(torch.autograd.Function):
        @staticmethod
        def forward(context, v, g):
            w, norms = torch._weight_norm_interface(v, g, v.ndim - 1)
            context.save_for_backward(v, g, norms)
            context.mark_non_differentiable(norms)
            return w, norms

        @staticmethod
        def backward(context, upstream, _):
            v, g, norms = context.saved_tensors
            if torch.is_grad_enabled():
                # For second derivatives, differentiate the formula: PyTorch 2.13 treats the norms
                # as constants when it differentiates the gradient of its operation.
                w = v * (g * reciprocal(v, tuple(range(v.ndim - 1))))
                needed = context.needs_input_grad
                asked = [x for x, is_needed in zip((v, g), needed, strict=True) if is_needed]
                found = iter(torch.autograd.grad(w, asked, upstream, create_graph=True))
                return tuple(next(found) if is_needed else None for is_needed in needed)
            return torch.ops.aten._weight_norm_interface_backward(
                upstream.contiguous(), v, g, norms, v.ndim - 1
            )

    def is_supported(v, g, axis):
        if axis != tuple(range(v.ndim - 1)) or math.prod(v.shape[:-1]) > _LARGEST_FAN_IN:
            return False
        if v.device.type != "cpu" or v.dtype != g.dtype:
            return False
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return False
        if torch._C._are_functorch_transforms_active():
            return False
        return all(forward_ad.unpack_dual(x).tangent is None for x in (v, g))

    def weight_norm(v, g, axis, least=None):
        if not is_supported(v, g, axis):
            return None
        g = g.reshape((1,) * (v.ndim - 1) + (-1,))
        w, norms = FusedWeightNorm.apply(v.contiguous(), g.contiguous())
        if not _is_moderate(norms) or (least is not None and bool((norms < least).any())):
            return None
        return w

    return weight_norm


def _is_moderate(norms):
    """Whether no square or cube of the norms, or of their inverses, comes near float32's limits.

    Returns `False` where the values cannot be read, or where reading them would be slow.
    """
    # On other devices than a CPU, reading a value waits for the device.
    if norms.device.type != "cpu":
        return False
    try:
        return bool(((norms > _LEAST) & (norms < _LARGEST)).all())
    except RuntimeError:
        # Under `torch.func.vmap`, or while a program is traced, there is no single value to read.
        return False
