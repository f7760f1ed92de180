"""Defines weight-normalized convolutions, and two with fixed norms or centered filters."""

from typing import Any

import keras

from keras_wn.layers.reparameterized import OutputScaled


@keras.saving.register_keras_serializable(package="keras_wn")
class WNConv1D(OutputScaled, keras.layers.Conv1D):
    """1D convolution with weight normalization, `w = g v / ||v||`, as `WNConv2D`.

    Args:
        *args, **kwargs: Arguments of `keras.layers.Conv1D`, and those that `WNConv2D` adds.

    Input shape:
        `(batch_size, steps, channels)`, or channels first according to `data_format`.

    Output shape:
        `(batch_size, new_steps, filters)`, or channels first.

    Example:

    >>> import numpy as np
    >>> layer = WNConv1D(8, 3, padding="causal")
    >>> tuple(layer(np.ones((1, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 5, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """


@keras.saving.register_keras_serializable(package="keras_wn")
class WNConv2D(OutputScaled, keras.layers.Conv2D):
    """2D convolution with weight normalization.

    `y = activation(w * x + b)` with `w = g v / ||v||`, one norm and one gain per filter. The norm
    is taken over the filter's height, width and input channels.

    Args:
        filters: Positive integer, the number of filters.
        kernel_size: Integer, or a tuple of 2 integers.
        use_gain: Boolean, whether the layer has a gain g. If `False`, `w = v / ||v||`, the strict
            form.
        gain_initializer: Initializer of g. `None` stands for `||v||`, so that the layer starts as
            `keras.layers.Conv2D` does.
        trainable_gain: Boolean, whether g is trained. If `False`, g keeps its initial value.
        log_gain: Boolean, whether log g is trained instead of g. Then `g = exp(s)` stays positive
            (section 2.1 of the paper).
        center: Boolean, whether v is replaced by `v - mean(v)`, so that each filter of w sums to 0.
        *args, **kwargs: Arguments of `keras.layers.Conv2D`. Its `kernel_initializer`,
            `kernel_regularizer` and `kernel_constraint` act on v. `lora_rank` is not supported.

    Call arguments:
        inputs: Tensor.
        scale: Tensor of shape `(filters,)` that multiplies w, for example an output of
            `JoinWeights`. `None` stands for 1.

    Input shape:
        `(batch_size, height, width, channels)`, or channels first according to `data_format`.

    Output shape:
        `(batch_size, new_height, new_width, filters)`, or channels first.

    Attributes:
        v: The variable of the stored direction.
        g: The variable of the gain, or `None`.
        effective_kernel: The tensor w.

    Raises:
        ValueError: If `keras.layers.Conv2D` refuses an argument, or if `lora_rank` is given.

    Example:

    >>> import numpy as np
    >>> layer = WNConv2D(8, 3, padding="same", activation="relu")
    >>> tuple(layer(np.ones((1, 5, 5, 4))).shape)
    (1, 5, 5, 8)
    >>> tuple(layer.v.shape), tuple(layer.g.shape)
    ((3, 3, 4, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2. The paper starts from `v ~ N(0,
    0.05)` and a g that depends on data (see `keras_wn.data_dependent_init`). This layer starts, by
    default, from the Keras initializer and `g = ||v||`.
    """


@keras.saving.register_keras_serializable(package="keras_wn")
class WNConv3D(OutputScaled, keras.layers.Conv3D):
    """3D convolution with weight normalization, `w = g v / ||v||`, as `WNConv2D`.

    Args:
        *args, **kwargs: Arguments of `keras.layers.Conv3D`, and those that `WNConv2D` adds.

    Input shape:
        `(batch_size, depth, height, width, channels)`, or channels first according to
        `data_format`.

    Output shape:
        `(batch_size, new_depth, new_height, new_width, filters)`, or channels first.

    Example:

    >>> import numpy as np
    >>> layer = WNConv3D(8, 3, padding="same")
    >>> tuple(layer(np.ones((1, 5, 5, 5, 4))).shape), tuple(layer.g.shape)
    ((1, 5, 5, 5, 8), (8,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2.
    """


@keras.saving.register_keras_serializable(package="keras_wn")
class BoundedWNConv2D(WNConv2D):
    """2D convolution whose weights have fixed norms, so that only their directions are trained.

    `y = activation(w * x + b)` with `w = rho v / ||v||`. This is a `WNConv2D` whose gain, here
    called rho, keeps its initial value.

    Args:
        *args, **kwargs: Arguments of `WNConv2D`, except `use_gain=False` and `trainable_gain=True`.
            `gain_initializer` is the initializer of rho. `None` stands for the norm `||v||` of each
            filter at the start.

    Example:

    >>> import numpy as np
    >>> layer = BoundedWNConv2D(8, 3, gain_initializer=keras.initializers.Constant(2.0))
    >>> tuple(layer(np.ones((1, 5, 5, 4))).shape), float(layer.g[0])
    ((1, 3, 3, 8), 2.0)
    >>> [variable.name for variable in layer.trainable_variables]
    ['kernel', 'bias']

    Reference: Hoffer et al. 2018, arXiv 1803.01814. In the paper, rho is one number per layer, the
    mean norm of its filters at the start. Here it is one number per filter, and a constant
    `gain_initializer` makes these numbers equal. `keras_wn.data_dependent_init` sets rho from data.
    """

    def __init__(self, *args, trainable_gain: bool = False, **kwargs):
        super().__init__(*args, trainable_gain=trainable_gain, **kwargs)
        if not self.use_gain:
            raise ValueError(
                "BoundedWNConv2D: use_gain=False is not allowed. Allowed: True; rho is the gain."
            )
        if trainable_gain:
            raise ValueError(
                f"BoundedWNConv2D: trainable_gain={trainable_gain} is not allowed. "
                "Allowed: False; WNConv2D trains its gain."
            )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["trainable_gain"]
        return config


@keras.saving.register_keras_serializable(package="keras_wn")
class ScaledWSConv2D(WNConv2D):
    """2D convolution with scaled weight standardization.

    `y = activation(w * x + b)` with `w = g (v - mean) / (sqrt(N) std)`, where mean and standard
    deviation are those of the N entries of a filter. Since `sqrt(N) std = ||v - mean||`, this is a
    `WNConv2D` with `center=True`, whose gain starts at 1.

    Args:
        *args, **kwargs: Arguments of `WNConv2D`, except `center=False` and `use_gain=False`.

    Example:

    >>> import numpy as np
    >>> layer = ScaledWSConv2D(8, 3)
    >>> tuple(layer(np.ones((1, 5, 5, 4))).shape)
    (1, 3, 3, 8)
    >>> w = np.asarray(layer.effective_kernel)
    >>> float(abs(w.sum(axis=(0, 1, 2))).max()) < 1e-5, round(float((w[..., 0] ** 2).sum()), 4)
    (True, 1.0)

    Reference: Brock, De & Smith 2021, arXiv 2101.08692, eq. 5. The authors' code bounds the
    variance from below by `1e-4 / N`. Here, only a filter whose entries are all smaller than 2^-100
    after centering has `w = 0`.
    """

    def __init__(self, *args, gain_initializer: Any = "ones", center: bool = True, **kwargs):
        super().__init__(*args, gain_initializer=gain_initializer, center=center, **kwargs)
        for name in ("center", "use_gain"):
            if not getattr(self, name):
                raise ValueError(
                    f"ScaledWSConv2D: {name}=False is not allowed. Allowed: True; WNConv2D has "
                    "both choices."
                )
