"""ReLU with the moments of a standard Gaussian removed."""

import math

import keras
from keras import ops

from keras_wn.layers.translated_relu import translated_relu


def relu_moments(negative_slope=0.0):
    """Mean and standard deviation of a (leaky) ReLU of a standard Gaussian.

    `mean = (1 - a) / sqrt(2 pi)`, `variance = ((1 + a^2) - (1 - a)^2 / pi) / 2` for a negative slope a.

    Args:
        negative_slope: Float a; 0 is ReLU.

    Returns:
        Pair of floats.

    Example:

    >>> mean, std = relu_moments()
    >>> round(mean, 5), round(std, 5)
    (0.39894, 0.58382)
    """
    a = negative_slope
    mean = (1 - a) / math.sqrt(2 * math.pi)
    variance = ((1 + a**2) - (1 - a) ** 2 / math.pi) / 2
    return mean, math.sqrt(variance)


@keras.saving.register_keras_serializable(package="keras_wn")
class NormalizedReLU(keras.layers.Layer):
    """ReLU shifted and scaled so that standard Gaussian input gives mean 0 and variance 1.

    `y = (relu(x) - 0.39894) / 0.58382`; with a negative slope, that activation's own moments.

    Args:
        negative_slope: Float, slope below zero; 0 is ReLU.
        **kwargs: As `keras.layers.Layer`.

    Input shape:
        Any.

    Output shape:
        As the input.

    Raises:
        ValueError: If the slope is not finite.

    Example:

    >>> import numpy as np
    >>> [round(float(y), 4) for y in NormalizedReLU()(np.array([-1.0, 0.0, 1.0]))]
    [-0.6833, -0.6833, 1.0295]

    Reference: normalization propagation, Arpit et al. 2016, arXiv 1603.01431. The constants stay those of gain 1 and bias 0 for
    the whole training, as in the paper. Public code also calls this function TReLU; here that is `keras_wn.layers.TReLU`.
    """

    def __init__(self, negative_slope=0.0, **kwargs):
        super().__init__(**kwargs)
        if not math.isfinite(negative_slope):
            raise ValueError(
                f"NormalizedReLU: negative_slope={negative_slope} is not allowed. Allowed: a finite number."
            )
        self.negative_slope = negative_slope
        self.mean, self.std = relu_moments(negative_slope)
        self.supports_masking = True

    def call(self, inputs):
        # The scale goes through the activation. In front of it, the gradient needs one operation less over all numbers.
        scaled, shift = inputs * (1 / self.std), self.mean / self.std
        if self.negative_slope:
            return ops.leaky_relu(scaled, negative_slope=self.negative_slope) - shift
        if keras.backend.backend() == "tensorflow" and self.compute_dtype in ("float32", "float64"):
            # TensorFlow would keep ReLU's result for the gradient, beside what the next layer keeps. In a half precision, a small
            # positive input less the shift is the shift itself, and would have no gradient.
            return translated_relu(scaled - shift, ops.full([1] * len(inputs.shape), -shift, scaled.dtype))
        return ops.relu(scaled) - shift

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "negative_slope": self.negative_slope}
