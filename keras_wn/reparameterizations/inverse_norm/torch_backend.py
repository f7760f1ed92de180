"""1 / ||v|| on PyTorch."""

from keras_wn.reparameterizations.euclidean import reciprocal

# Where squares, cubes and their sums are far from the ends of float32.
_LEAST, _LARGEST = 2.0**-32, 2.0**32
# Numbers squared at once: what is made on the way stays in the cache. A new large tensor costs more than the arithmetic.
_AT_ONCE = 2**19


def implementation():
    """Function of `v` and a tuple of axes."""
    import torch

    class InverseNorm(torch.autograd.Function):
        # For `torch.func.vmap`.
        generate_vmap_rule = True

        @staticmethod
        def forward(v, axis):
            # In one reading, where the result shows that no square was out of range.
            inverse = _sum_of_squares(v, axis).rsqrt()
            return inverse if is_moderate(inverse) else reciprocal(v, axis)

        @staticmethod
        def setup_context(context, inputs, output):
            v, context.axis = inputs
            context.save_for_backward(v, output)
            context.save_for_forward(v, output)

        @staticmethod
        def backward(context, upstream):
            v, r = context.saved_tensors
            if is_moderate(r):
                return v * (r**3 * -upstream), None
            # In this order, nothing overflows between norms of 2^-100 and 2^100.
            return (v * r) * (r * (-r * upstream)), None

        @staticmethod
        def jvp(context, dv, _):
            v, r = context.saved_tensors
            return -r * ((v * r) * (dv * r)).sum(context.axis, keepdim=True)

    def _sum_of_squares(v, axis):
        if axis != tuple(range(v.ndim - 1)):
            return v.square().sum(axis, keepdim=True)
        parts = v.reshape(-1, v.shape[-1]).split(max(1, _AT_ONCE // v.shape[-1]))
        return sum(part.square().sum(0) for part in parts).reshape([1] * len(axis) + [-1])

    def function(v, axis):
        # A compiler fuses the operations as they are, and an exporter knows them.
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            return reciprocal(v, axis)
        return InverseNorm.apply(v, axis)

    return function


def is_moderate(norms):
    """Whether the squares and cubes of norms, or of their inverses, are far from the ends of float32; False if that cannot be seen."""
    # Elsewhere than on a CPU, looking at numbers waits for the device.
    if norms.device.type != "cpu":
        return False
    try:
        return bool(((norms > _LEAST) & (norms < _LARGEST)).all())
    except RuntimeError:  # Under `torch.func.vmap`, and while a program is traced, there is no one number to look at.
        return False
