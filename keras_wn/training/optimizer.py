"""Updates the weights: SGD with momentum and L2 weight decay, and what a method puts around it."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import ops

from keras_wn.methods import MethodCard
from keras_wn.optimizers import AdaptiveGradientClipping, CenteredGradients
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


def for_method(
    method: MethodCard, model: keras.Model, decay: float, decay_on: str, **options: Any
) -> keras.optimizers.Optimizer:
    """The optimizer that trains a model of a method: `SGDL2`, with what its card asks for around.

    Args:
        method: `MethodCard`. Its `agc`, `agc_on` and `center` count.
        model: Built Keras model.
        decay: Float, the weight decay.
        decay_on: A key of `DECAY_ON`.
        **options: Arguments of `SGDL2`.

    Returns:
        Keras optimizer, which is not built.

    Example:

    >>> import keras_wn
    >>> card = keras_wn.methods.get("cwn_trelu")
    >>> model = keras_wn.models.cifar_resnet(8, method=card)
    >>> optimizer = for_method(card, model, 1e-4, "v", learning_rate=0.1)
    >>> type(optimizer).__name__, type(optimizer.inner_optimizer).__name__
    ('CenteredGradients', 'AdaptiveGradientClipping')
    """
    optimizer = SGDL2(decay, decayed_paths(model, decay_on), **options)
    variables = model.trainable_variables
    if method.agc:
        # The paper leaves the classifier alone.
        spared = [
            v.path
            for v in variables
            if v.path.startswith("logits") or (method.agc_on == "kernels" and len(v.shape) < 2)
        ]
        optimizer = AdaptiveGradientClipping(optimizer, method.agc, exclude=spared)
    if method.center == "free":
        kernels = [v.path for v in variables if v.name == "kernel" and len(v.shape) == 4]
        optimizer = CenteredGradients(optimizer, kernels)
    return optimizer
