"""Updates the weights: SGD with momentum and L2 weight decay, and adaptive gradient clipping."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import ops

from keras_wn.variable_groups import variable_groups


@keras.saving.register_keras_serializable(package="keras_wn")
class SGDL2(keras.optimizers.SGD):
    """SGD with momentum that adds the L2 term `l2 v` to the gradient of chosen variables.

    `u <- m u - lr (dL/dv + l2 v)`, `v <- v + u`.

    Keras' own `weight_decay` is decoupled: it does not pass through the momentum, so that at
    momentum 0.9 it is 10 times weaker for the same number. Published coefficients such as 1e-4 are
    meant for the form used here.

    The learning rate and `l2` are variables of the optimizer. A compiled step can therefore take
    them as inputs, and one compiled step serves runs with other values of them.

    Args:
        l2: Non-negative float, the weight decay.
        decayed: Names or paths of the variables that it applies to, for example `("kernel",)`.
        sums_gradients: Boolean, whether the optimizer sums gradients over the replicas of a
            `tf.distribute` strategy, as Keras' optimizers do after they have clipped them. Pass
            False where the training step has summed them already.
        **kwargs: Arguments of `keras.optimizers.SGD`.

    Raises:
        ValueError: If `l2` is negative.

    Example:

    >>> v = keras.Variable([1.0], name="kernel")
    >>> optimizer = SGDL2(l2=0.5, decayed=("kernel",), learning_rate=0.1, momentum=0.9)
    >>> optimizer.apply([ops.zeros(1)], [v])
    >>> round(float(v[0]), 4)
    0.95
    """

    def __init__(
        self,
        l2: float = 0.0,
        decayed: Iterable[str] = (),
        sums_gradients: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not l2 >= 0:
            raise ValueError(f"SGDL2: l2={l2} is not allowed. Allowed: 0 or more.")
        # Every replica assigns the same number, so that the first one's is enough.
        self.l2 = self.add_variable(
            (), dtype="float32", aggregation="only_first_replica", name="l2"
        )
        self.l2.assign(l2)
        self._initial_l2 = l2
        self.decayed = tuple(decayed)
        self.sums_gradients = sums_gradients
        self._is_decayed: list[bool] = []

    def build(self, variables: Sequence[Any]) -> None:
        super().build(variables)
        # By index: on TensorFlow, `update_step` is given the backend's variables, which have
        # other names.
        self._is_decayed = [v.name in self.decayed or v.path in self.decayed for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if self._is_decayed[self._get_variable_index(variable)]:
            decay = ops.cast(self.l2, variable.dtype) * ops.convert_to_tensor(variable)
            gradient = ops.cast(gradient, variable.dtype) + decay
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "l2": self._initial_l2,
            "decayed": self.decayed,
            "sums_gradients": self.sums_gradients,
        }

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # Keras calls this method of its TensorFlow optimizers before it applies the gradients.
        return (
            super()._all_reduce_sum_gradients(grads_and_vars)
            if self.sums_gradients
            else grads_and_vars
        )


def decayed_paths(model: keras.Model, decay_on: str) -> list[str]:
    """The paths of the variables of a model that weight decay applies to.

    Args:
        model: Built Keras model.
        decay_on: A key of `DECAY_ON`.

    Returns:
        List of strings, in the model's order.

    Example:

    >>> import keras_wn
    >>> inputs = keras.Input((4,))
    >>> model = keras.Model(inputs, keras_wn.layers.WNDense(3, name="dense")(inputs))
    >>> decayed_paths(model, "v_and_g")
    ['dense/kernel', 'dense/kernel_g']
    >>> decayed_paths(model, "w")
    ['dense/kernel_g']
    """
    groups = variable_groups(model)
    plain = [variable for variable in groups.other if variable.name == "kernel"]
    scales = [variable for variable in groups.other if variable.name in ("gamma", "g")]
    chosen = {id(variable) for variable in DECAY_ON[decay_on](groups.v, groups.g, plain, scales)}
    return [variable.path for variable in model.trainable_variables if id(variable) in chosen]


# For each choice of the variables that decay, a function of v, of the gains of v, of kernels
# without weight normalization, and of the scales of other layers. The norm of w is its gain, so
# that decay of w acts on the gain alone.
DECAY_ON = {
    "v": lambda v, g, plain, scales: [*v, *plain],
    "v_and_g": lambda v, g, plain, scales: [*v, *plain, *g, *scales],
    "w": lambda v, g, plain, scales: [*g, *plain],
}


def clip_adaptively(
    gradients: Sequence[Any], variables: Sequence[Any], factor: float, eps: float = 1e-3
) -> list[Any]:
    """Bounds the gradient of each unit in proportion to the unit's weights.

    `g_i <- min(1, factor max(|w_i|, eps) / |g_i|) g_i`, with Frobenius norms over the fan-in of
    output unit i.

    The last axis of a kernel counts its units. A vector is one unit, as in the authors' code: the
    norm is that of the whole vector. A variable without axes is left alone: it is a gain or a bias
    of a whole layer, and if it starts at 0, its gradient would be bounded to almost 0. A gradient
    that is not finite stays so, because an optimizer that scales the loss has to see it.

    Args:
        gradients: List of tensors, or None where a variable has no gradient.
        variables: List of variables or tensors of the same shapes.
        factor: Positive float, the paper's lambda.
        eps: Positive float, the least norm that weights are taken to have. Without it, weights
            of 0 would stay 0.

    Returns:
        List of tensors, with None where `gradients` has None.

    Raises:
        ValueError: If `factor` or `eps` is not positive and finite.

    Example:

    >>> gradient = ops.convert_to_tensor([[3.0, 0.01], [4.0, 0.0]])
    >>> clipped = clip_adaptively([gradient], [ops.ones((2, 2))], factor=0.1)[0]
    >>> [round(float(norm), 3) for norm in ops.norm(clipped, axis=0)]
    [0.141, 0.01]

    Reference:
        Brock, De, Smith, Simonyan, "High-Performance Large-Scale Image Recognition Without
        Normalization", arXiv:2102.06171, equation 3. The authors' code clips variables without
        axes as well. At 0, their bound is `factor eps`, which keeps them near 0 in a short run.
    """
    for name, value in (("factor", factor), ("eps", eps)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(
                f"clip_adaptively: {name}={value} is not allowed. Allowed: a finite number above 0."
            )
    return [
        gradient
        if gradient is None or not len(gradient.shape)
        else _clipped(gradient, variable, factor, eps)
        for gradient, variable in zip(gradients, variables, strict=True)
    ]


def _clipped(gradient, variable, factor, eps):
    gradient, variable = ops.convert_to_tensor(gradient), ops.convert_to_tensor(variable)
    bound = factor * ops.maximum(_unit_norm(ops.cast(variable, gradient.dtype)), eps)
    norm = _unit_norm(gradient)
    # Written so that a NaN norm makes the condition false and the NaN passes through.
    return ops.where(norm > bound, gradient * (bound / ops.maximum(norm, 1e-6)), gradient)


def _unit_norm(tensor):
    # In the authors' code, a kernel with only one axis longer than 1 counts as a vector too.
    is_vector = sum(size != 1 for size in tensor.shape) <= 1
    axes = None if is_vector else tuple(range(len(tensor.shape) - 1))
    return ops.sqrt(ops.sum(ops.square(tensor), axis=axes, keepdims=True))
