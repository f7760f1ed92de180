"""Defines layers with a single trained number: gains, one of which starts at 0, and a bias."""

import math
from typing import Any

import keras
from keras import initializers, ops

from keras_wn.layers.substitution import full_precision
from keras_wn.reparameterizations.weight_norm import Tensor


@keras.saving.register_keras_serializable(package="keras_wn")
class ScalarGain(keras.layers.Layer):
    """Multiplies its input by one trained number.

    `y = factor g x`

    Args:
        gain_initializer: Initializer of g.
        factor: Float, a constant factor. It sets the scale of the output, and of the steps of g.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any shape.

    Output shape:
        The shape of the input.

    Attributes:
        g: The variable of the gain, without axes.

    Raises:
        ValueError: If `factor` is not finite.

    Example:

    >>> import numpy as np
    >>> layer = ScalarGain(keras.initializers.Constant(3.0), factor=0.5)
    >>> np.asarray(layer(np.array([[1.0, 2.0]]))).tolist()
    [[1.5, 3.0]]

    Reference: the multipliers of Fixup, Zhang, Dauphin & Ma 2019, arXiv 1901.09321, and, with
    `factor`, the end of a branch in normalizer-free ResNets, Brock, De & Smith 2021,
    arXiv 2101.08692.
    """

    def __init__(self, gain_initializer: Any = "ones", factor: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.gain_initializer = initializers.get(gain_initializer)
        self.factor = _checked_factor(self, factor)
        self.supports_masking = True

    def build(self, input_shape: tuple) -> None:
        del input_shape  # The gain has no axes.
        self.g = self.add_weight(name="g", shape=(), initializer=self.gain_initializer)

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * (self.factor * self.g)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "gain_initializer": initializers.serialize(self.gain_initializer),
            "factor": self.factor,
        }


@keras.saving.register_keras_serializable(package="keras_wn")
class SkipInit(ScalarGain):
    """Multiplies the output of a residual branch by one trained number that starts at 0.

    `y = factor g x` with `g = 0` at the start, so that each residual block starts as the identity.
    This is a `ScalarGain`, with the same arguments, whose `gain_initializer` is `"zeros"`.

    Example:

    >>> import numpy as np
    >>> np.asarray(SkipInit()(np.array([[1.0, 2.0]]))).tolist()
    [[0.0, 0.0]]

    Reference: De & Smith 2020, arXiv 2002.10444.
    """

    def __init__(self, gain_initializer: Any = "zeros", factor: float = 1.0, **kwargs):
        super().__init__(gain_initializer, factor, **kwargs)


@keras.saving.register_keras_serializable(package="keras_wn")
class SharedGain(keras.layers.Layer):
    """Trains one number for all filters of a weight-normalized convolution, in its kernel.

    `c = factor g`, repeated for each filter. A convolution without a bias takes it as
    `convolution(x, scale=c)`, which is the function of a `ScalarGain` after the convolution, and
    costs no pass over the outputs.

    Args:
        filters: Positive integer, the number of filters.
        gain_initializer: Initializer of g.
        factor: Float, a constant factor. It sets the scale of the output, and of the steps of g.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any shape. The output does not depend on the input. The layer takes one only because a layer
        of a functional model must have an input.

    Output shape:
        `(filters,)`.

    Attributes:
        g: The variable of the gain, without axes.

    Raises:
        ValueError: If `filters` is not a positive integer, or if `factor` is not finite.

    Example:

    >>> import numpy as np
    >>> np.asarray(SharedGain(2, keras.initializers.Constant(3.0), 0.5)(np.ones((1, 4)))).tolist()
    [1.5, 1.5]

    Reference: as for `ScalarGain`. timm's normalizer-free networks put the scalar into the gains of
    the last convolution as well, one for each filter.
    """

    def __init__(
        self, filters: int, gain_initializer: Any = "zeros", factor: float = 1.0, **kwargs
    ):
        super().__init__(**kwargs)
        if not isinstance(filters, int) or filters < 1:
            raise ValueError(
                f"SharedGain: filters={filters!r} is not allowed. Allowed: a positive integer."
            )
        self.filters = filters
        self.gain_initializer = initializers.get(gain_initializer)
        self.factor = _checked_factor(self, factor)

    def build(self, input_shape: Any = None) -> None:
        del input_shape  # The gain has no axes.
        self.g = self.add_weight(name="g", shape=(), initializer=self.gain_initializer)

    def call(self, inputs: Tensor) -> Tensor:
        del inputs
        return ops.cast(self.values(), self.compute_dtype)

    def values(self) -> Tensor:
        """Returns the output in the dtype of its variable."""
        with full_precision():
            g = ops.convert_to_tensor(self.g)
        return ops.broadcast_to(self.factor * g, (self.filters,))

    def compute_output_shape(self, input_shape: Any) -> tuple:
        del input_shape
        return (self.filters,)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "gain_initializer": initializers.serialize(self.gain_initializer),
            "factor": self.factor,
        }


@keras.saving.register_keras_serializable(package="keras_wn")
class ScalarBias(keras.layers.Layer):
    """Adds one trained number to its input.

    `y = x + factor b`

    Args:
        bias_initializer: Initializer of b.
        factor: Float, a constant factor. It sets the scale of the steps of b.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any shape.

    Output shape:
        The shape of the input.

    Attributes:
        bias: The variable of the bias, without axes.

    Raises:
        ValueError: If `factor` is not finite.

    Example:

    >>> import numpy as np
    >>> layer = ScalarBias(keras.initializers.Constant(3.0))
    >>> np.asarray(layer(np.array([[1.0, 2.0]]))).tolist()
    [[4.0, 5.0]]

    Reference: Fixup, Zhang, Dauphin & Ma 2019, arXiv 1901.09321.
    """

    def __init__(self, bias_initializer: Any = "zeros", factor: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = _checked_factor(self, factor)
        self.bias_initializer = initializers.get(bias_initializer)
        self.supports_masking = True

    def build(self, input_shape: tuple) -> None:
        del input_shape  # The bias has no axes.
        self.bias = self.add_weight(name="bias", shape=(), initializer=self.bias_initializer)

    def call(self, inputs: Tensor) -> Tensor:
        return inputs + self.factor * self.bias

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "factor": self.factor,
        }


def _checked_factor(layer, factor):
    if not math.isfinite(factor):
        raise ValueError(
            f"{type(layer).__name__}: factor={factor!r} is not allowed. Allowed: a finite number."
        )
    return factor
