"""Sum of branches times a constant."""

import math

import keras


@keras.saving.register_keras_serializable(package="keras_wn")
class ScaledAdd(keras.layers.Layer):
    """Sum of the inputs times a fixed scale: `y = scale (x_1 + x_2 + ...)`.

    With `scale = 1 / sqrt(n)`, n independent inputs of variance 1 give an output of variance 1.

    Args:
        scale: Float. None: `1 / sqrt(n)` for n inputs.
        **kwargs: As `keras.layers.Layer`.

    Input shape:
        List of at least two tensors of one shape.

    Output shape:
        That shape.

    Raises:
        ValueError: If there are fewer than two inputs, or their shapes differ.

    Example:

    >>> import numpy as np
    >>> round(float(ScaledAdd()([np.ones(1), np.ones(1)])[0]), 4)
    1.4142

    Reference: ours. Arpit et al. 2016, arXiv 1603.01431, do not treat residual nets; this is their variance rule carried over.
    """

    def __init__(self, scale=None, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        _check(self, [x.shape for x in inputs])
        scale = 1 / math.sqrt(len(inputs)) if self.scale is None else self.scale
        return scale * sum(inputs[1:], start=inputs[0])

    def compute_output_shape(self, input_shape):
        _check(self, input_shape)
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def _check(layer, shapes):
    shapes = [tuple(shape) for shape in shapes]
    if len(shapes) < 2 or any(shape != shapes[0] for shape in shapes):
        raise ValueError(
            f"Layer '{layer.name}' takes a list of at least two tensors of one shape. Received: shapes={shapes}."
        )
