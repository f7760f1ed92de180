"""SGD with weight decay as the study used it."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_wn")
class SGDL2(keras.optimizers.SGD):
    """SGD with momentum, the L2 term `l2 v` added to the gradient of the variables named in `decayed`.

    `u <- m u - lr (dL/dv + l2 v)`, `v <- v + u`.

    Keras' own `weight_decay` is decoupled: it does not pass through the momentum, and at momentum 0.9 is 10 times weaker for
    the same number. Published coefficients such as 1e-4 are meant for this form.

    Args:
        l2: Non-negative float, the weight decay.
        decayed: Tuple of names of the variables that it applies to, for example `("kernel",)`.
        sums_gradients: Boolean, whether gradients are summed over the replicas of a `tf.distribute` strategy here, as Keras'
            optimizers do after clipping them; False where the step has done it, as `CompiledStepModel`'s.
        **kwargs: As `keras.optimizers.SGD`.

    Raises:
        ValueError: If `l2` is negative.

    Example:

    >>> v = keras.Variable([1.0], name="kernel")
    >>> SGDL2(l2=0.5, decayed=("kernel",), learning_rate=0.1, momentum=0.9).apply([ops.zeros(1)], [v])
    >>> round(float(v[0]), 4)
    0.95
    """

    def __init__(self, l2=0.0, decayed=(), sums_gradients=True, **kwargs):
        super().__init__(**kwargs)
        if not l2 >= 0:
            raise ValueError(f"SGDL2: l2={l2} is not allowed. Allowed: 0 or more.")
        self.l2 = l2
        self.decayed = tuple(decayed)
        self.sums_gradients = sums_gradients

    def build(self, variables):
        super().build(variables)
        # By index: on TensorFlow, `update_step` is given the backend's variables, which have other names.
        self._is_decayed = [self._decays() and v.name in self.decayed for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        if self._is_decayed[self._get_variable_index(variable)]:
            gradient = ops.cast(gradient, variable.dtype) + self.l2 * ops.convert_to_tensor(variable)
        super().update_step(gradient, variable, learning_rate)

    def _decays(self):
        return bool(self.l2)

    def get_config(self):
        return {
            **super().get_config(),
            "l2": self.l2,
            "decayed": self.decayed,
            "sums_gradients": self.sums_gradients,
        }

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # Keras' hook of its TensorFlow optimizers.
        return super()._all_reduce_sum_gradients(grads_and_vars) if self.sums_gradients else grads_and_vars
