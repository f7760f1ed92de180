"""Start on the sphere of unit filters."""

import keras

from keras_wn.constraints import UnitNorm


@keras.saving.register_keras_serializable(package="keras_wn")
class UnitFilters(keras.initializers.Initializer):
    """Another initializer's kernel with each filter rescaled to unit norm: `v = u / ||u||`.

    Args:
        initializer: Initializer of u.
        axis: Tuple of the axes of a filter's fan-in. None: all axes but the last.

    Example:

    >>> import numpy as np
    >>> v = UnitFilters("glorot_uniform")((3, 3, 8, 4))
    >>> [round(float(x), 4) for x in np.linalg.norm(np.reshape(v, (-1, 4)), axis=0)]
    [1.0, 1.0, 1.0, 1.0]

    Reference: the surface that NormProp's constraint keeps (Arpit et al. 2016, arXiv 1603.01431). There the first step starts off it.
    """

    def __init__(self, initializer="glorot_uniform", axis=None):
        self.initializer = keras.initializers.get(initializer)
        self._project = UnitNorm(axis)

    def __call__(self, shape, dtype=None):
        return self._project(self.initializer(shape, dtype=dtype))

    def get_config(self):
        return {"initializer": keras.initializers.serialize(self.initializer), **self._project.get_config()}
