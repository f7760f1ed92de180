"""Defines Keras initializers.

`keras_wn.data_dependent_init`, which sets a whole model, may be read from here as well.
"""

from typing import Any

import keras

from keras_wn.constraints import UnitNorm
from keras_wn.reparameterizations.weight_norm import Tensor, centered


def __getattr__(name: str) -> Any:
    # Not imported above, because the layers that the function sets import this module.
    if name == "data_dependent_init":
        import keras_wn

        return keras_wn.data_dependent_init
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@keras.saving.register_keras_serializable(package="keras_wn")
class UnitFilters(keras.initializers.Initializer):
    """Initializer that rescales each filter of another initializer: `v = norm u / ||u||`.

    Args:
        initializer: Initializer of u.
        axis: Tuple of the axes of a filter's fan-in. `None` stands for all axes but the last.
        norm: Positive float, the norm of a filter.

    Example:

    >>> import numpy as np
    >>> v = UnitFilters("glorot_uniform")((3, 3, 8, 4))
    >>> [round(float(x), 4) for x in np.linalg.norm(np.reshape(v, (-1, 4)), axis=0)]
    [1.0, 1.0, 1.0, 1.0]

    Reference: Arpit et al. 2016, arXiv 1603.01431. In the paper, filters have unit norm after the
    first step; with this initializer, they have it from the start.
    """

    def __init__(
        self,
        initializer: Any = "glorot_uniform",
        axis: tuple[int, ...] | None = None,
        norm: float = 1.0,
    ):
        self.initializer = keras.initializers.get(initializer)
        self._project = UnitNorm(axis, norm)

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        return self._project(self.initializer(shape, dtype=dtype))

    def get_config(self) -> dict[str, Any]:
        return {
            "initializer": keras.initializers.serialize(self.initializer),
            **self._project.get_config(),
        }


@keras.saving.register_keras_serializable(package="keras_wn")
class CenteredFilters(keras.initializers.Initializer):
    """Initializer that subtracts the mean of each filter of another one: `v = u - mean(u)`.

    A kernel that starts so, and whose gradients are centered by
    `keras_wn.optimizers.CenteredGradients`, stays centered.

    Args:
        initializer: Initializer of u.
        axis: Tuple of the axes of a filter's fan-in. `None` stands for all axes but the last.

    Example:

    >>> import numpy as np
    >>> v = CenteredFilters("he_normal")((3, 3, 8, 4))
    >>> bool(np.abs(np.sum(v, axis=(0, 1, 2))).max() < 1e-5)
    True

    Reference: Huang et al. 2017, "Centered Weight Normalization in Accelerating Training of Deep
    Neural Networks", ICCV, subtract the mean in each step.
    """

    def __init__(self, initializer: Any = "glorot_uniform", axis: tuple[int, ...] | None = None):
        self.initializer = keras.initializers.get(initializer)
        self.axis = axis if axis is None else tuple(axis)

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        u = self.initializer(shape, dtype=dtype)
        axis = tuple(range(len(shape) - 1)) if self.axis is None else self.axis
        return keras.ops.cast(centered(u, axis), u.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            "initializer": keras.initializers.serialize(self.initializer),
            "axis": self.axis,
        }
