"""Lets regularizers and constraints see the weight w, where a layer's own see v."""

import functools

from keras_wn.constraints import EffectiveKernelConstraint
from keras_wn.layers import gains
from keras_wn.regularizers import EffectiveKernelRegularizer


def bind(kernel, gain):
    """Binds the kernel's regularizer and constraint to w, where they are the ones that ask for it.

    Args:
        kernel: `Kernel` of a layer that is being built.
        gain: Its `Gain`, or None in the strict form.

    Raises:
        ValueError: If a constraint is to act on w in the strict form, where the norm of w is 1.
    """
    variable = kernel.variable
    if isinstance(variable.regularizer, EffectiveKernelRegularizer):
        variable.regularizer = variable.regularizer.of(functools.partial(gains.effective, kernel, gain))
    if isinstance(variable.constraint, EffectiveKernelConstraint):
        if gain is None:
            raise ValueError(
                f"EffectiveKernelConstraint of '{variable.path}': without a gain the norm of w is 1. Allowed: use_gain=True."
            )
        # On g, which is then set from the v that it leaves: one projection of both, whichever the optimizer takes first.
        gain.variable.constraint = _Projection(variable.constraint.constraint, kernel, gain)
        variable.constraint = None


class _Projection:
    """Constraint of the variable of a gain: projects w, keeps the result as v, and returns what the variable becomes."""

    def __init__(self, constraint, kernel, gain):
        self._constraint, self._kernel, self._gain = constraint, kernel, gain

    def __call__(self, variable):
        del variable  # The gain's own, with v part of w.
        self._kernel.variable.assign(self._constraint(gains.effective(self._kernel, self._gain)))
        return self._gain.held(gains.norm_of(self._kernel))
