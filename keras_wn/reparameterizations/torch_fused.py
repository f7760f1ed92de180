"""`w = g v / ||v||` by PyTorch's own operation: one reading of v, and one of v and dL/dw for the gradients."""

import functools
import math

from keras import backend

from keras_wn.reparameterizations.euclidean import reciprocal
from keras_wn.reparameterizations.inverse_norm.torch_backend import is_moderate

# Above this fan-in, PyTorch's sums of squares lose digits: 1e-6 of the norm at 10,000, 1e-4 at a million.
_LARGEST_FAN_IN = 2**13


def weight_norm(v, g, axis):
    """w of a v in float32 or wider; None where the formula is to be taken as it is written.

    That is elsewhere than on PyTorch and a CPU (on a GPU, looking at the norms would wait for it), for units along another axis
    than the last, in forward mode and `torch.func`'s transforms, which the operation lacks, for long fan-ins, and where a norm is
    not moderate: the operation squares as it is.
    """
    if backend.backend() != "torch" or tuple(axis) != tuple(range(v.ndim - 1)):
        return None
    if math.prod(v.shape[:-1]) > _LARGEST_FAN_IN:
        return None
    return _implementation()(v, g)


@functools.cache
def _implementation():
    import torch
    from torch.autograd import forward_ad

    class Fused(torch.autograd.Function):
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
                # PyTorch's derivative of its gradient takes the norms for constants (2.13).
                w = v * (g * reciprocal(v, tuple(range(v.ndim - 1))))
                asked = [x for x, needed in zip((v, g), context.needs_input_grad, strict=True) if needed]
                found = iter(torch.autograd.grad(w, asked, upstream, create_graph=True))
                return tuple(next(found) if needed else None for needed in context.needs_input_grad)
            return torch.ops.aten._weight_norm_interface_backward(upstream.contiguous(), v, g, norms, v.ndim - 1)

    def function(v, g):
        if v.device.type != "cpu" or v.dtype != g.dtype or _is_transformed():
            return None
        if any(forward_ad.unpack_dual(x).tangent is not None for x in (v, g)):
            return None
        g = g.reshape((1,) * (v.ndim - 1) + (-1,))
        w, norms = Fused.apply(v.contiguous(), g.contiguous())
        return w if is_moderate(norms) else None

    def _is_transformed():
        # A compiler fuses the formula's operations itself, and an exporter knows them.
        return torch.compiler.is_compiling() or torch.jit.is_tracing() or torch._C._are_functorch_transforms_active()

    return function
