"""Constraints that the optimizer applies to a kernel after each step."""

import keras

from keras_wn.reparameterizations import weight_norm


@keras.saving.register_keras_serializable(package="keras_wn")
class UnitNorm(keras.constraints.Constraint):
    """Rescales each filter to unit Euclidean norm: `v <- v / ||v||`.

    Args:
        axis: Tuple of the axes of a filter's fan-in. None: all axes but the last, right for `Dense` and `Conv` kernels.

    Returns:
        When called: a tensor of the kernel's shape and dtype.

    Raises:
        ValueError: If an axis lies outside the kernel.

    Example:

    >>> import numpy as np
    >>> kernel = np.full((2, 2, 1, 3), 5.0)
    >>> float(np.linalg.norm(UnitNorm()(kernel)[..., 0]))
    1.0

    Reference: Arpit et al. 2016, arXiv 1603.01431: after each step "each hidden filter is rescaled". `keras.constraints.UnitNorm`
    has `axis=0` by default, one norm per kernel *column*, which is not a convolution's filter; and works in the
    kernel's dtype, where this one works in float32.
    """

    def __init__(self, axis=None):
        self.axis = axis if axis is None else tuple([axis] if isinstance(axis, int) else axis)

    def __call__(self, w):
        w = keras.ops.convert_to_tensor(w)
        rank = len(w.shape)
        axis = tuple(range(rank - 1)) if self.axis is None else self.axis
        if not all(-rank <= a < rank for a in axis):
            raise ValueError(
                f"UnitNorm: axis={axis} lies outside a kernel of rank {rank}. Allowed: {-rank} to {rank - 1}."
            )
        return keras.ops.cast(weight_norm(w, axis=axis), w.dtype)

    def get_config(self):
        return {"axis": self.axis}


@keras.saving.register_keras_serializable(package="keras_wn")
class EffectiveKernelConstraint(keras.constraints.Constraint):
    """Constraint on w, where a weight-normalized layer's own constraints see v.

    After each step `w' = C(g v / ||v||)`, kept as `v = w'` and `g = ||w'||`. The length of v, which sets the step size, is then
    that of w. A filter that C makes zero keeps its v, with `g = 0`.

    Args:
        constraint: Keras constraint C, as an object, a name or a configuration.

    Raises:
        ValueError: On a layer without a gain, whose w has norm 1 whatever the constraint says; when it is called on the kernel of
            a layer that is not weight-normalized.

    Example:

    >>> import keras_wn
    >>> layer = keras_wn.layers.WNConv2D(8, 3, kernel_constraint=EffectiveKernelConstraint(keras.constraints.NonNeg()))

    Reference: ours.
    """

    def __init__(self, constraint):
        self.constraint = keras.constraints.get(constraint)

    def __call__(self, v):
        raise ValueError(
            "EffectiveKernelConstraint is not allowed on the kernel of a plain layer. Allowed: kernels under weight normalization."
        )

    def get_config(self):
        return {"constraint": keras.constraints.serialize(self.constraint)}
