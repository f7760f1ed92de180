"""Defines wrappers of Keras' optimizers that change gradients before a step, or kernels after it.

Each takes any Keras optimizer, and may itself be wrapped: with mixed_float16, Keras puts its
`LossScaleOptimizer` around, so that gradients are unscaled when they arrive. A wrapper has no
variables of its own: those of the inner optimizer are saved and restored with the model.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import ops

from keras_wn.constraints import UnitNorm


class _Wrapper(keras.optimizers.Optimizer):
    """An optimizer that changes what another one is given, or what it leaves.

    Args:
        inner_optimizer: Keras optimizer.
        name: String.
    """

    def __init__(self, inner_optimizer: keras.optimizers.Optimizer, name: str | None = None):
        inner_optimizer = keras.optimizers.get(inner_optimizer)
        # The variables that this creates are not among those of `variables`.
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner_optimizer

    def changed(self, gradients: list[Any], variables: Sequence[Any]) -> list[Any]:
        """The gradients that the inner optimizer gets."""
        del variables
        return gradients

    def after(self, variables: Sequence[Any]) -> None:
        """Is called after the step of the inner optimizer."""

    def check(self, variables: Sequence[Any]) -> None:
        """Raises `ValueError` for variables that cannot be trained so."""

    @property
    def variables(self) -> list[Any]:
        return self.inner_optimizer.variables

    def add_variable(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner_optimizer.add_variable(*args, **kwargs)

    def build(self, variables: Sequence[Any]) -> None:
        self.check(variables)
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        super().build(variables)

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        if not self.built:
            self.build(trainable_variables)
        known = self._trainable_variables
        variables = known if trainable_variables is None else list(trainable_variables)
        self.inner_optimizer.apply(self.changed(list(grads), variables), trainable_variables)
        self.after(variables)

    @property
    def learning_rate(self) -> Any:
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        return self.inner_optimizer.scale_loss(loss)

    def exclude_from_weight_decay(self, *args: Any, **kwargs: Any) -> None:
        self.inner_optimizer.exclude_from_weight_decay(*args, **kwargs)

    def finalize_variable_values(self, var_list: Sequence[Any]) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    @property
    def _model_variables_moving_average(self):
        # Keras' callback that swaps in the averages unwraps one optimizer alone.
        return self.inner_optimizer._model_variables_moving_average

    def get_config(self) -> dict[str, Any]:
        inner = keras.saving.serialize_keras_object(self.inner_optimizer)
        return {"name": self.name, "inner_optimizer": inner}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "_Wrapper":
        inner = keras.saving.deserialize_keras_object(
            config["inner_optimizer"], custom_objects=custom_objects
        )
        return cls(**{**config, "inner_optimizer": inner})


@keras.saving.register_keras_serializable(package="keras_wn")
class AdaptiveGradientClipping(_Wrapper):
    """Bounds the gradient of each unit in proportion to the unit's weights.

    `g_i <- min(1, factor max(|w_i|, eps) / |g_i|) g_i`, as `clip_adaptively` says.

    Args:
        inner_optimizer: Keras optimizer that takes the step.
        factor: Positive float, the paper's lambda.
        eps: Positive float, the least norm that weights are taken to have.
        exclude: Names or paths of variables, or names of layers, that are left alone. The paper
            leaves the classifier alone.
        name: String.

    Raises:
        ValueError: If `factor` or `eps` is not positive and finite, if no variable has a name of
            `exclude`, or if `inner_optimizer` has `gradient_accumulation_steps`, because it would
            get the gradient of each batch clipped, and not that of their sum.

    Example:

    >>> sgd = keras.optimizers.SGD(0.1, momentum=0.9)
    >>> optimizer = AdaptiveGradientClipping(sgd, factor=0.1)
    >>> w = keras.Variable([[3.0], [4.0]], name="kernel")
    >>> optimizer.apply([ops.array([[30.0], [40.0]])], [w])
    >>> [round(float(x), 3) for x in ops.convert_to_numpy(w)[:, 0]]
    [2.97, 3.96]

    Reference: Brock, De, Smith, Simonyan 2021, arXiv 2102.06171, equation 3. Under `tf.distribute`,
    the gradient is summed over the replicas before it is clipped.
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer,
        factor: float = 0.01,
        eps: float = 1e-3,
        exclude: Iterable[str] = (),
        name: str | None = None,
    ):
        super().__init__(inner_optimizer, name)
        _check_positive("AdaptiveGradientClipping", factor=factor, eps=eps)
        steps = getattr(innermost(inner_optimizer), "gradient_accumulation_steps", None)
        if steps:
            raise ValueError(
                f"AdaptiveGradientClipping: an inner_optimizer with gradient_accumulation_steps="
                f"{steps} is not allowed, because each batch would be clipped. Allowed: None."
            )
        self.factor, self.eps, self.exclude = factor, eps, tuple(exclude)

    def check(self, variables: Sequence[Any]) -> None:
        _selected("AdaptiveGradientClipping: exclude", variables, self.exclude)

    def changed(self, gradients: list[Any], variables: Sequence[Any]) -> list[Any]:
        gradients, replicas = self._summed(gradients, variables)
        clipped = clip_adaptively(gradients, variables, self.factor, self.eps)
        spared = _selected("AdaptiveGradientClipping: exclude", variables, self.exclude)
        chosen = [g if s else c for g, c, s in zip(gradients, clipped, spared, strict=True)]
        if replicas == 1:
            return chosen
        # The inner optimizer sums over the replicas, whose gradients are equal now.
        return [g if g is None else g / replicas for g in chosen]

    def _summed(self, gradients, variables):
        """The gradients summed over replicas, and their number where the inner one will sum."""
        if keras.backend.backend() != "tensorflow":
            return gradients, 1
        import tensorflow as tf

        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas == 1 or not getattr(innermost(self), "sums_gradients", True):
            return gradients, 1
        pairs = self._all_reduce_sum_gradients(list(zip(gradients, variables, strict=True)))
        return [gradient for gradient, _ in pairs], replicas

    def get_config(self) -> dict[str, Any]:
        own = {"factor": self.factor, "eps": self.eps, "exclude": self.exclude}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="keras_wn")
class CenteredGradients(_Wrapper):
    """Subtracts from the gradient of each kernel its mean over the fan-in.

    `g <- g - mean(g)`, per output unit. A kernel that starts with mean 0, as by
    `keras_wn.initializers.CenteredFilters`, keeps it, at the cost of one pass over the gradients.
    For SGD with momentum and L2 decay, this is centered weight normalization, whose formula
    subtracts the mean in every step, up to rounding. It is not for optimizers that divide by a
    second moment, such as Adam, which weighs the entries of a filter differently: the kernel does
    not stay centered.

    Args:
        inner_optimizer: Keras optimizer that takes the step.
        variables: Names or paths of the variables, or names of layers, whose variables with at
            least two axes are meant. `None` stands for all such variables that are called "kernel".
            The last axis counts the units: name the layers in a model with depthwise or transposed
            convolutions.
        name: String.

    Raises:
        ValueError: If no variable has a name of `variables`, or if a unit has one entry alone.

    Example:

    >>> optimizer = CenteredGradients(keras.optimizers.SGD(0.1))
    >>> v = keras.Variable([[1.0], [-1.0]], name="kernel")
    >>> optimizer.apply([ops.array([[3.0], [1.0]])], [v])
    >>> [round(float(x), 3) for x in ops.convert_to_numpy(v)[:, 0]]
    [0.9, -0.9]

    Reference: Huang et al. 2017, "Centered Weight Normalization in Accelerating Training of Deep
    Neural Networks", ICCV, put the mean into the formula of the weights. Yong et al. 2020,
    arXiv 2004.01461, center the gradients, and not the start.
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer,
        variables: Iterable[str] | None = None,
        name: str | None = None,
    ):
        super().__init__(inner_optimizer, name)
        self._names = None if variables is None else tuple(variables)

    def check(self, variables: Sequence[Any]) -> None:
        for variable, is_chosen in zip(variables, self._chosen(variables), strict=True):
            if is_chosen and math.prod(variable.shape[:-1]) < 2:
                raise ValueError(
                    f"CenteredGradients: '{variable.path}' of shape {tuple(variable.shape)} is not "
                    "allowed, because a unit of one entry would stay 0. Allowed: units of 2 or "
                    "more."
                )

    def changed(self, gradients: list[Any], variables: Sequence[Any]) -> list[Any]:
        chosen = self._chosen(variables)
        return [_centered(g) if c else g for g, c in zip(gradients, chosen, strict=True)]

    def _chosen(self, variables):
        return _kernels("CenteredGradients: variables", variables, self._names)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "variables": self._names}


@keras.saving.register_keras_serializable(package="keras_wn")
class ProjectedKernels(_Wrapper):
    """Rescales each unit of a kernel to a fixed Euclidean norm after every step.

    `w <- norm w / ||w||`, which keeps the unit on a sphere. Where the norm of a kernel has no
    effect, as of v in weight normalization, this fixes the effective learning rate alone.

    Args:
        inner_optimizer: Keras optimizer that takes the step.
        norm: Positive float.
        variables: As for `CenteredGradients`.
        name: String.

    Raises:
        ValueError: If `norm` is not positive and finite, or if no variable has a name of
            `variables`.

    Example:

    >>> optimizer = ProjectedKernels(keras.optimizers.SGD(0.5))
    >>> w = keras.Variable([[1.0], [0.0]], name="kernel")
    >>> optimizer.apply([ops.array([[0.5], [-2.0]])], [w])
    >>> [round(float(x), 3) for x in ops.convert_to_numpy(w)[:, 0]]
    [0.6, 0.8]

    Reference: Arpit et al. 2016, arXiv 1603.01431, and Karras et al. 2024, arXiv 2312.02696. As a
    constraint of a layer, it is `keras_wn.constraints.UnitNorm`.
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer,
        norm: float = 1.0,
        variables: Iterable[str] | None = None,
        name: str | None = None,
    ):
        super().__init__(inner_optimizer, name)
        _check_positive("ProjectedKernels", norm=norm)
        self.norm = norm
        self._project = UnitNorm(norm=norm)
        self._names = None if variables is None else tuple(variables)

    def check(self, variables: Sequence[Any]) -> None:
        self._chosen(variables)

    def after(self, variables: Sequence[Any]) -> None:
        for variable, is_chosen in zip(variables, self._chosen(variables), strict=True):
            if is_chosen:
                # As Keras applies a constraint.
                variable.assign(self._project(variable))

    def _chosen(self, variables):
        return _kernels("ProjectedKernels: variables", variables, self._names)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "norm": self.norm, "variables": self._names}


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
    _check_positive("clip_adaptively", factor=factor, eps=eps)
    return [
        gradient
        if gradient is None or not len(gradient.shape)
        else _clipped(gradient, variable, factor, eps)
        for gradient, variable in zip(gradients, variables, strict=True)
    ]


def innermost(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer inside of all wrappers, which takes the steps.

    Example:

    >>> sgd = keras.optimizers.SGD()
    >>> innermost(CenteredGradients(AdaptiveGradientClipping(sgd))) is sgd
    True
    """
    while hasattr(optimizer, "inner_optimizer"):
        optimizer = optimizer.inner_optimizer
    return optimizer


def _clipped(gradient, variable, factor, eps):
    gradient, variable = ops.convert_to_tensor(gradient), ops.convert_to_tensor(variable)
    bound = factor * ops.maximum(_unit_norm(ops.cast(variable, gradient.dtype)), eps)
    norm = _unit_norm(gradient)
    # Written so that a NaN norm makes the condition false and the NaN passes through. The choice is
    # made for each unit, so that the gradient is read once.
    return gradient * ops.where(norm > bound, bound / ops.maximum(norm, 1e-6), ops.ones_like(norm))


def _unit_norm(tensor):
    # In the authors' code, a kernel with only one axis longer than 1 counts as a vector too.
    is_vector = sum(size != 1 for size in tensor.shape) <= 1
    axes = None if is_vector else tuple(range(len(tensor.shape) - 1))
    return ops.sqrt(ops.sum(ops.square(tensor), axis=axes, keepdims=True))


def _centered(gradient):
    if gradient is None:
        return None
    gradient = ops.convert_to_tensor(gradient)
    axes = tuple(range(len(gradient.shape) - 1))
    # Keras' mean of float64 is one of float32 on PyTorch.
    return gradient - ops.sum(gradient, axis=axes, keepdims=True) / math.prod(gradient.shape[:-1])


def _selected(argument, variables, names):
    """Whether each variable is one of these names or paths, or of a layer of this name.

    Raises:
        ValueError: If a name is that of no variable and of no layer.
    """
    chosen = [False] * len(variables)
    for name in names:
        # A name is a part of the path, for example of a layer in a model in a model.
        found = [f"/{name}/" in f"/{variable.path}/" for variable in variables]
        if not any(found):
            allowed = ", ".join(variable.path for variable in variables)
            raise ValueError(f"{argument}={name!r}: no such variable or layer. Allowed: {allowed}.")
        chosen = [a or b for a, b in zip(chosen, found, strict=True)]
    return chosen


def _kernels(argument, variables, names):
    """Whether each variable is a kernel, and one of `_selected` unless `names` is None."""
    if names is None:
        return [v.name == "kernel" and len(v.shape) > 1 for v in variables]
    chosen = _selected(argument, variables, names)
    return [c and len(v.shape) > 1 for c, v in zip(chosen, variables, strict=True)]


def _check_positive(caller, **values):
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(
                f"{caller}: {name}={value} is not allowed. Allowed: a finite number above 0."
            )
