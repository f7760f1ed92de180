"""Lets the regularizer and the constraint of a kernel act on the effective weight w instead of v.

A constraint that acts on w projects w, and v and g take the values whose w is the projected one.
"""

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable

import keras
from keras import ops
from keras.src import backend  # Not exported by Keras: the stateless scope.

from keras_wn import reparameterizations
from keras_wn.constraints import EffectiveKernelConstraint, UnitNorm
from keras_wn.layers.gains import Gain, effective
from keras_wn.layers.kernels import Kernel
from keras_wn.regularizers import EffectiveKernelRegularizer

# Constraints that set the norm of a weight and not the signs of its entries.
_OF_NORMS = (
    keras.constraints.MaxNorm,
    keras.constraints.MinMaxNorm,
    keras.constraints.UnitNorm,
    UnitNorm,
)


def let_act_on_w(kernel: Kernel, gain: Gain | None) -> None:
    """Binds the kernel's regularizer and constraint to w, if they are made to act on w.

    Args:
        kernel: `Kernel` of a layer that is being built.
        gain: Its `Gain`, or `None` in the strict form.

    Raises:
        ValueError: If a constraint is to act on w in the strict form, where the norm of w is 1,
            with a gain that has other axes than the norm, or with a centered v.
    """
    variable = kernel.variable
    if isinstance(variable.regularizer, EffectiveKernelRegularizer):
        effective_kernel = functools.partial(effective, kernel, gain)
        variable.regularizer = variable.regularizer.bound_to(effective_kernel)
    if isinstance(variable.constraint, EffectiveKernelConstraint):
        if gain is None:
            raise ValueError(
                f"EffectiveKernelConstraint of '{variable.path}': without a gain the norm of w is "
                "1. Allowed: use_gain=True."
            )
        if kernel.gain_axes != kernel.fan_in:
            raise ValueError(
                f"EffectiveKernelConstraint of '{variable.path}': gain_axis={kernel.gain_axes} "
                f"with axis={kernel.fan_in} cannot hold every w that the constraint leaves. "
                "Allowed: a gain along the axes of the norm, gain_axis=None."
            )
        if kernel.center:
            raise ValueError(
                f"EffectiveKernelConstraint of '{variable.path}': center=True cannot hold every w "
                "that the constraint leaves. Allowed: center=False."
            )
        constraint = variable.constraint.constraint
        if not gain.variable.trainable and isinstance(constraint, _OF_NORMS):
            warnings.warn(
                f"EffectiveKernelConstraint of '{variable.path}': "
                f"{type(constraint).__name__} sets the norm of w, which is g, and g is not "
                "trained. Allowed: trainable_gain=True, or a constraint of the signs of w, as "
                "keras.constraints.NonNeg.",
                stacklevel=2,
            )
        projection = _Projection(constraint, kernel, gain)
        gain.variable.constraint = _ConstraintOfGain(projection)
        variable.constraint = _ConstraintOfDirection(projection)


def let_act_on_v(kernel: Kernel, gain: Gain | None) -> None:
    """Undoes `let_act_on_w` for a kernel whose normalization ends, so that v is now its weight."""
    variable = kernel.variable
    if isinstance(variable.regularizer, EffectiveKernelRegularizer):
        variable.regularizer = variable.regularizer.regularizer
    if isinstance(variable.constraint, _ConstraintOfDirection):
        variable.constraint = variable.constraint.projection.constraint
        gain.variable.constraint = None


@dataclasses.dataclass(frozen=True)
class _Projection:
    """Applies a constraint C to w, through new values of v and g, or of the trained one of them.

    With one of them frozen, `w' = C(w)` can be held only if it has the direction, or the norm, that
    w has anyway. Each method returns the value whose w is next to it.
    """

    constraint: Callable
    kernel: Kernel
    gain: Gain

    def of_both(self):
        """Stores w' in v, and returns its norm."""
        v = self.kernel.variable
        w = self.constraint(effective(self.kernel, self.gain))
        g = reparameterizations.norm(w, self.kernel.fan_in)
        # A filter that becomes zero keeps its direction. Otherwise it could not leave zero again.
        v.assign(ops.where(g == 0, v.value, w))
        return g

    def of_direction(self):
        """Returns `C(v)`; `-C(-v)` where g is negative."""
        v, sign = self.kernel.variable.value, 1.0
        if _is_known(self.gain.variable):
            g = ops.expand_dims(self.gain.value, self.kernel.fan_in)
            sign = ops.cast(ops.where(g < 0, -1.0, 1.0), v.dtype)
        projected = sign * self.constraint(sign * v)
        # The norm of w stays, so that no direction can become zero. Where C leaves nothing of the
        # direction, take the opposite one.
        turned = sign * self.constraint(-sign * v)
        return ops.where(reparameterizations.norm(projected, self.kernel.fan_in), projected, turned)

    def of_gain(self):
        """Returns `u . C(g u)`, with the direction `u = v / ||v||`."""
        v, fan_in = self.kernel.variable, self.kernel.fan_in
        if _is_known(v):
            u = effective(self.kernel, None)
        else:
            u = ops.full(v.shape, 1 / math.sqrt(math.prod(v.shape[a] for a in fan_in)), v.dtype)
        w = self.constraint(u * ops.expand_dims(ops.cast(self.gain.value, u.dtype), fan_in))
        return ops.sum(u * w, axis=fan_in)


def _is_known(variable):
    """Whether an update can read a variable that is not trained.

    On JAX, the update is a function of the trained variables, and Keras takes the values of the
    others from the model meanwhile.
    """
    if not backend.in_stateless_scope():
        return True
    return backend.get_stateless_scope().get_current_value(variable) is not None


class _ConstraintOfGain(keras.constraints.Constraint):
    """Projects v and g together or, if v is frozen, g alone."""

    def __init__(self, projection):
        self.projection = projection

    def __call__(self, g):
        del g  # The projection reads the variable.
        projection = self.projection
        v_is_trained = projection.kernel.variable.trainable
        return projection.gain.held(projection.of_both() if v_is_trained else projection.of_gain())


class _ConstraintOfDirection(keras.constraints.Constraint):
    """Projects v alone if g is frozen.

    If g is trained, its constraint projects both, once, regardless of which of the two the
    optimizer updates first.
    """

    def __init__(self, projection):
        self.projection = projection

    def __call__(self, v):
        return v if self.projection.gain.variable.trainable else self.projection.of_direction()
