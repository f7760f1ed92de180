"""Defines constraints, which the optimizer applies to a kernel after each step."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_wn.reparameterizations import weight_norm
from keras_wn.reparameterizations.weight_norm import Tensor

# Sums of squares between this number and its inverse are exact to rounding in float32.
_LEAST_SUM = 2.0**-64


@keras.saving.register_keras_serializable(package="keras_wn")
class UnitNorm(keras.constraints.Constraint):
    """Rescales each filter to unit Euclidean norm, or to another one: `v <- norm v / ||v||`.

    Args:
        axis: Integer or tuple, the axes of a filter's fan-in. `None` stands for all axes but the
            last, which is right for the kernels of `Dense` and `Conv` layers.
        norm: Positive float, the norm.

    Returns:
        When called, a tensor of the shape and dtype of the kernel.

    Raises:
        ValueError: If an axis lies outside of the kernel, or if the norm is not positive and
            finite.

    Example:

    >>> import numpy as np
    >>> kernel = np.full((2, 2, 1, 3), 5.0)
    >>> float(np.linalg.norm(UnitNorm()(kernel)[..., 0]))
    1.0

    Reference: Arpit et al. 2016, arXiv 1603.01431: after each step "each hidden filter is
    rescaled". The default of `keras.constraints.UnitNorm` is `axis=0`, one norm per *column* of the
    kernel, which is not a filter of a convolution. It computes in the dtype of the kernel; this one
    computes in float32 or wider.
    """

    def __init__(self, axis: int | Sequence[int] | None = None, norm: float = 1.0):
        self.axis = axis if axis is None else tuple([axis] if isinstance(axis, int) else axis)
        if not (norm > 0 and math.isfinite(norm)):
            raise ValueError(
                f"UnitNorm: norm={norm} is not allowed. Allowed: a finite number above 0."
            )
        self.norm = norm

    def __call__(self, w: Tensor) -> Tensor:
        w = keras.ops.convert_to_tensor(w)
        rank = len(w.shape)
        axis = tuple(range(rank - 1)) if self.axis is None else self.axis
        if not all(-rank <= a < rank for a in axis):
            raise ValueError(
                f"UnitNorm: axis={axis} lies outside a kernel of rank {rank}. "
                f"Allowed: {-rank} to {rank - 1}."
            )
        unit = self._unit(w, axis)
        return unit if self.norm == 1.0 else self.norm * unit

    def _unit(self, w, axis):
        if keras.backend.backend() != "tensorflow" or w.dtype != "float32":
            return keras.ops.cast(weight_norm(w, axis=axis), w.dtype)
        # Kernels that were rescaled in the step before have norms near 1. Try the plain formula
        # first, which reads them once less; other backends do that by themselves.
        sums = keras.ops.sum(keras.ops.square(w), axis=axis, keepdims=True)
        moderate = keras.ops.all((sums > _LEAST_SUM) & (sums < 1 / _LEAST_SUM))
        return keras.ops.cond(
            moderate, lambda: w * keras.ops.rsqrt(sums), lambda: weight_norm(w, axis=axis)
        )

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis, "norm": self.norm}


@keras.saving.register_keras_serializable(package="keras_wn")
class EffectiveKernelConstraint(keras.constraints.Constraint):
    """Applies a constraint to the effective weight w of a weight-normalized layer.

    Other constraints of such a layer act on v. After each step, `w' = C(g v / ||v||)` is stored as
    `v = w'` and `g = ||w'||`. The length of v, which sets the effective step size, is then that of
    w. A filter that C makes zero keeps its v, with `g = 0`.

    Where only one of v and g is trained, the other stays. Without a trained g (`trainable_gain`,
    `BoundedWNConv2D`), `v = C(v)`: a constraint of signs such as `NonNeg` holds for w, and one of
    norms has no effect, which a warning says. A filter that C makes zero is turned round, `C(-v)`.
    With a frozen v, g becomes that of the w on the line along v that is nearest to `C(w)`. In
    `fit` on JAX, where a frozen variable is not known to the optimizer, g counts as positive, and
    the entries of v as equal and positive.

    Args:
        constraint: Keras constraint C, as an object, a name or a configuration.

    Raises:
        ValueError: On a layer without a gain, where the norm of w is always 1, and if it is called
            on the kernel of a layer that is not weight-normalized.

    Example:

    >>> import keras_wn
    >>> non_negative = EffectiveKernelConstraint(keras.constraints.NonNeg())
    >>> layer = keras_wn.layers.WNConv2D(8, 3, kernel_constraint=non_negative)

    Reference: ours.
    """

    def __init__(self, constraint: Any):
        self.constraint = keras.constraints.get(constraint)

    def __call__(self, v: Tensor) -> Tensor:
        raise ValueError(
            "EffectiveKernelConstraint is not allowed on the kernel of a plain layer. "
            "Allowed: kernels under weight normalization."
        )

    def get_config(self) -> dict[str, Any]:
        return {"constraint": keras.constraints.serialize(self.constraint)}
