"""Data-dependent start of g and b."""

import contextlib
import dataclasses
import functools
import warnings

import keras
from keras import activations, ops

from keras_wn.layers.reparameterized import Reparameterized
from keras_wn.layers.substitution import replaced_call
from keras_wn.layers.weight_normalization import WeightNormalization

# A channel whose standard deviation over the batch is below this counts as constant.
_MIN_STD = 1e-6


def data_dependent_init(model, batch, init_scale=1.0):
    """Sets g and b of every weight-normalized layer from one batch: outputs with mean 0 and standard deviation `init_scale`.

    `t = v . x / ||v||`, `g = init_scale / std[t]`, `b = -mean[t] init_scale / std[t]`, per channel over the batch and all
    positions, layer after layer in one forward pass: each layer is fed what the layers before it put out after their own
    start. t is measured before the layer's activation. Call it eagerly, once, before `fit`, with a batch as the whole
    training sees it (the global batch, not a replica's).

    Args:
        model: Built Keras model or layer. Dense layers and convolutions are set, subclasses and wrapped ones alike; separable
            convolutions, einsum layers, embeddings, recurrent layers and layers with `use_gain=False` keep what they have. A
            layer without bias gets its g only. A layer that is called several times is set by its first call.
        batch: What `model` takes; as preprocessed for training.
        init_scale: Positive float, the standard deviation asked for; or a function from a layer to it.

    Returns:
        None. g and b are assigned.

    Raises:
        ValueError: If there is no layer to set, if `init_scale` is not positive, or if an output is not finite.

    Example:

    >>> import numpy as np, keras, keras_wn
    >>> model = keras.Sequential([keras.Input((4,)), keras_wn.layers.WNDense(3)])
    >>> batch = np.random.default_rng(0).normal(5.0, 2.0, (64, 4))
    >>> keras_wn.data_dependent_init(model, batch)
    >>> [abs(round(float(m), 3)) for m in np.mean(model(batch), axis=0)]
    [0.0, 0.0, 0.0]

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eqs. 5 and 6. A channel that is constant over the batch keeps
    `g = init_scale` (the paper's g would be infinite), with a warning.
    """
    targets = [target for layer in model._flatten_layers() if (target := _target(layer)) is not None]
    if not targets:
        raise ValueError(f"data_dependent_init: model '{model.name}' has no weight-normalized layer with a gain.")
    with contextlib.ExitStack() as stack:
        for target in targets:
            scale = init_scale(target.layer) if callable(init_scale) else init_scale
            if not scale > 0:
                raise ValueError(
                    f"data_dependent_init: init_scale={scale!r} is not allowed. Allowed: a positive number."
                )
            call = functools.partial(_first_call, target, target.layer.call, scale, [])
            stack.enter_context(replaced_call(target.layer, call))
        model(batch, training=False)


@dataclasses.dataclass(frozen=True)
class _Target:
    """A layer whose call is watched, its gain, and the layer that holds the bias and the activation."""

    layer: keras.layers.Layer
    gain: keras.Variable
    inner: keras.layers.Layer


def _target(layer):
    wrapped = isinstance(layer, WeightNormalization)
    inner = layer.layer if wrapped else layer
    gains = (
        list((layer.gains if wrapped else layer._gains).values())
        if wrapped or isinstance(layer, Reparameterized)
        else []
    )
    return _Target(layer, gains[0], inner) if isinstance(inner, _SETTABLE) and gains else None


# Layers whose output has one channel per gain.
_SETTABLE = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)


def _first_call(target, call, init_scale, done, *args, **kwargs):
    if not done:
        done.append(True)
        _set_gain_and_bias(target, call, init_scale, *args, **kwargs)
    return call(*args, **kwargs)


def _set_gain_and_bias(target, call, init_scale, *args, **kwargs):
    inner, name = target.inner, target.layer.name
    activation, inner.activation = inner.activation, activations.linear
    try:
        target.gain.assign(ops.ones(target.gain.shape))
        if inner.bias is not None:
            inner.bias.assign(ops.zeros(inner.bias.shape))
        t = ops.cast(call(*args, **kwargs), "float32")
    finally:
        inner.activation = activation
    channels_first = getattr(inner, "data_format", None) == "channels_first"
    channel_axis = 1 if channels_first else len(t.shape) - 1
    axes = [a for a in range(len(t.shape)) if a != channel_axis]
    mean = ops.mean(t, axis=axes, keepdims=True)
    # In two passes: `ops.moments` subtracts squares, which leaves noise where a channel is constant.
    std = ops.sqrt(ops.mean(ops.square(t - mean), axis=axes))
    mean = ops.reshape(mean, std.shape)
    constant = std < _MIN_STD * (1.0 + ops.abs(mean))
    if not bool(ops.convert_to_numpy(ops.all(ops.isfinite(std)))):
        raise ValueError(f"data_dependent_init: the output of layer '{name}' is not finite on this batch.")
    if bool(ops.convert_to_numpy(ops.any(constant))):
        warnings.warn(
            f"data_dependent_init: layer '{name}' has channels that are constant on this batch.", stacklevel=4
        )
    gain = init_scale / ops.where(constant, ops.ones_like(std), std)
    target.gain.assign(ops.reshape(gain, target.gain.shape))
    if inner.bias is not None:
        inner.bias.assign(-mean * gain)
