"""Lets regularizers and constraints see the weight w, where a layer's own see v."""

import functools

from keras import ops

from keras_wn.constraints import EffectiveKernelConstraint
from keras_wn.layers import gains
from keras_wn.regularizers import EffectiveKernelRegularizer
from keras_wn.reparameterizations import norm


def bind(kernel, gain):
    """Binds the kernel's regularizer and constraint to w, where they are the ones that ask for it.

    Args:
        kernel: `Kernel` of a layer that is being built.
        gain: Its `Gain`, or None in the strict form.

    Raises:
        ValueError: If a constraint is to act on w in the strict form, where the norm of w is 1, or with a gain that has other axes than
            the norm.
    """
    variable = kernel.variable
    if isinstance(variable.regularizer, EffectiveKernelRegularizer):
        variable.regularizer = variable.regularizer.of(functools.partial(gains.effective, kernel, gain))
    if isinstance(variable.constraint, EffectiveKernelConstraint):
        if gain is None:
            raise ValueError(
                f"EffectiveKernelConstraint of '{variable.path}': without a gain the norm of w is 1. Allowed: use_gain=True."
            )
        if kernel.gain_axes != kernel.fan_in:
            raise ValueError(
                f"EffectiveKernelConstraint of '{variable.path}': gain_axis={kernel.gain_axes} with axis={kernel.fan_in} cannot hold every "
                "w that the constraint leaves. Allowed: a gain along the axes of the norm, gain_axis=None."
            )
        # On g, which is then set from the v that it leaves: one projection of both, whichever the optimizer takes first.
        gain.variable.constraint = _Projection(variable.constraint.constraint, kernel, gain)
        variable.constraint = None


def unbind(kernel, gain):
    """Gives the kernel's regularizer and constraint back to the kernel, whose v is w from now on."""
    variable = kernel.variable
    if isinstance(variable.regularizer, EffectiveKernelRegularizer):
        variable.regularizer = variable.regularizer.regularizer
    if gain is not None and isinstance(gain.variable.constraint, _Projection):
        variable.constraint, gain.variable.constraint = gain.variable.constraint.constraint, None


class _Projection:
    """Constraint of the variable of a gain: projects w, keeps the result as v, and returns what the variable becomes."""

    def __init__(self, constraint, kernel, gain):
        self.constraint, self._kernel, self._gain = constraint, kernel, gain

    def __call__(self, variable):
        del variable  # The gain's own, with v part of w.
        v, fan_in = self._kernel.variable, self._kernel.fan_in
        w = self.constraint(gains.effective(self._kernel, self._gain))
        g = norm(w, fan_in)
        # A filter that becomes zero keeps its direction, or it could not leave zero again.
        v.assign(ops.where(g == 0, v.value, w))
        return self._gain.held(g)
