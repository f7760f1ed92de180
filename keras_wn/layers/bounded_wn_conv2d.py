"""2D convolution with bounded weight normalization."""

import keras

from keras_wn.layers.wn_conv2d import WNConv2D


@keras.saving.register_keras_serializable(package="keras_wn")
class BoundedWNConv2D(WNConv2D):
    """2D convolution with weights of fixed norms: only their directions are trained.

    `y = activation(w * x + b)` with `w = rho v / ||v||`: a `WNConv2D` whose gain, here rho, stays where it starts.

    Args:
        filters: Positive integer, number of filters.
        kernel_size: Integer or pair of integers.
        *args, **kwargs: As `WNConv2D`, without `use_gain=False` and `trainable_gain=True`. `gain_initializer` is rho; None: `||v||` at
            the start, filter by filter.

    Input shape:
        `(batch_size, height, width, channels)`, or channels first as `data_format` says.

    Output shape:
        `(batch_size, new_height, new_width, filters)`, or channels first.

    Attributes:
        v: The trained variable; `g`: rho, a variable that is not trained; `effective_kernel`: w.

    Raises:
        ValueError: For what `WNConv2D` refuses, and for `use_gain=False` or `trainable_gain=True`.

    Example:

    >>> import numpy as np
    >>> layer = BoundedWNConv2D(8, 3, gain_initializer=keras.initializers.Constant(2.0))
    >>> tuple(layer(np.ones((1, 5, 5, 4))).shape), float(layer.g[0])
    ((1, 3, 3, 8), 2.0)
    >>> [variable.name for variable in layer.trainable_variables]
    ['kernel', 'bias']

    Reference: Hoffer et al. 2018, arXiv 1803.01814. There rho is one number per layer, the mean norm of its filters at the start; here
    one per filter, which a constant `gain_initializer` makes equal. `keras_wn.data_dependent_init` sets it from data.
    """

    def __init__(self, *args, trainable_gain=False, **kwargs):
        super().__init__(*args, trainable_gain=trainable_gain, **kwargs)
        if not self.use_gain:
            raise ValueError("BoundedWNConv2D: use_gain=False is not allowed. Allowed: True; rho is the gain.")
        if trainable_gain:
            raise ValueError(
                f"BoundedWNConv2D: trainable_gain={trainable_gain} is not allowed. Allowed: False; WNConv2D trains its gain."
            )

    def get_config(self):
        config = super().get_config()
        del config["trainable_gain"]
        return config
