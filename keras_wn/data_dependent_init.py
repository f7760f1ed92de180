"""Initializes the gains and biases of a model from a batch of data."""

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import activations, ops
from keras.src import backend  # Not exported by Keras.

from keras_wn.layers.gains import Gain
from keras_wn.layers.kernels import LINEAR, kernels_of
from keras_wn.layers.mean_only_batch_norm import MeanOnlyBatchNormalization
from keras_wn.layers.reparameterized import Reparameterized
from keras_wn.layers.selection import selected
from keras_wn.layers.substitution import full_precision, replaced_call
from keras_wn.layers.weight_normalization import WeightNormalization
from keras_wn.layers.wrapped import is_built

# A channel counts as constant if its standard deviation over the batch is smaller than this, in
# proportion to 1 plus the absolute mean.
_MIN_STD = 1e-6
# Layers that call their sublayers many times, in a loop.
_LOOPS = (keras.layers.RNN, keras.layers.TimeDistributed, keras.layers.Bidirectional)


def data_dependent_init(
    model: keras.layers.Layer,
    batch: Any,
    init_scale: float | Callable[[keras.layers.Layer], float] = 1.0,
    layers: Any = None,
) -> None:
    """Sets g and b of weight-normalized layers so that outputs have mean 0 and a given deviation.

    `t = v . x / ||v||`, `g = init_scale / std[t]`, `b = -mean[t] init_scale / std[t]`, where the
    statistics are per channel, over the batch and all positions. They are those of t, before the
    layer's activation. All layers are set in one forward pass, one after the other, so that the
    input of each layer comes from layers that have been set.

    Call this function eagerly, once, before `fit`, with a batch of the size that one training step
    uses. In distributed training, this is the global batch, not that of one device.

    Args:
        model: Keras model or layer. If it is not built, `batch` builds it. Dense layers, einsum
            layers and convolutions are set, no matter whether they are subclasses or wrapped; a
            separable convolution by its pointwise kernel. Not set are frozen layers, embeddings,
            recurrent layers, attention, layers inside of recurrent layers and of
            `TimeDistributed`, wrappers with another `axis`, and layers with `use_gain=False`. In a
            layer without a bias, or whose bias alone is frozen, only g is set. A g that
            `trainable_gain=False` keeps from training is set. In an einsum layer whose bias has
            other axes than its g, the bias is the mean of the `b` above. A layer that is called
            several times is set in its first call. A `MeanOnlyBatchNormalization` gets the mean of
            the batch as its moving mean, so that the next layer has the input that it has in
            training.
        batch: Input of `model`, preprocessed as for training. Or an object that gives batches to
            `fit`: a `tf.data.Dataset`, a `keras.utils.PyDataset`, a PyTorch `DataLoader` or a
            generator. The first batch is then used, without its targets and sample weights. A
            generator continues with its second batch afterwards.
        init_scale: Non-negative float, the standard deviation of the outputs; or a function that
            returns it for a layer. With 0, g and b are 0.
        layers: The layers to set: a name, a class, a function from a layer to a boolean, or a list
            of names and classes. The name or class of a model or of a layer around others stands
            for all layers in it. A function is not called with models and with your own layers
            around others. None: all of the above.

    Returns:
        None. The variables of g, b and the moving means are assigned. If an error is raised, all of
        them keep the values that they had.

    Raises:
        ValueError: If the model has no layer to set, if `layers` selects none, if `init_scale` is
            negative, if there is no batch, or if an output is not finite.

    Example:

    >>> import numpy as np, keras, keras_wn
    >>> model = keras.Sequential([keras.Input((4,)), keras_wn.layers.WNDense(3)])
    >>> batch = np.random.default_rng(0).normal(5.0, 2.0, (64, 4))
    >>> keras_wn.data_dependent_init(model, batch)
    >>> [abs(round(float(m), 3)) for m in np.mean(model(batch), axis=0)]
    [0.0, 0.0, 0.0]

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eqs. 5 and 6. A channel that is constant
    over the batch gets `g = init_scale`, with a warning. By the paper's formula, its g would be
    infinite.
    """
    batch = _first_batch(batch)
    if not is_built(model):
        model(batch, training=False)
    unfrozen = [layer for layer in _layers_outside_of_loops(model) if layer.trainable]
    targets = [target for layer in unfrozen if (target := _target(layer)) is not None]
    centered = [layer for layer in unfrozen if isinstance(layer, MeanOnlyBatchNormalization)]
    if not targets:
        raise ValueError(
            f"data_dependent_init: model '{model.name}' has no weight-normalized layer with a "
            "gain that is not frozen."
        )
    candidates = [*(target.layer for target in targets), *centered]
    chosen = selected("data_dependent_init", model, layers, candidates)
    targets = [target for target in targets if chosen(target.layer)]
    centered = [layer for layer in centered if chosen(layer)]
    with contextlib.ExitStack() as stack:
        for target in targets:
            scale = _scale_of(target.layer, init_scale)
            call = functools.partial(_first_call, target, target.layer.call, scale, [])
            stack.enter_context(replaced_call(target.layer, call))
        for layer in centered:
            call = functools.partial(_first_centering, layer, layer.call, [])
            stack.enter_context(replaced_call(layer, call))
        variables = [v for t in targets for v in (t.gain.variable, t.bias) if v is not None]
        variables += [layer.moving_mean for layer in centered]
        before = [(variable, ops.copy(variable.value)) for variable in variables]
        try:
            model(batch, training=False)
        except Exception:
            for variable, value in before:
                variable.assign(value)
            raise


def start_biases(model: keras.layers.Layer, batch: Any) -> None:
    """Sets the biases of convolutions so that each channel of their outputs has mean 0.

    `b = -mean[w . x]`, over the batch and all positions. All layers are set in one forward pass,
    one after the other.

    Args:
        model: Built Keras model or layer. Its convolutions with a trained bias are set, plain ones
            and weight-normalized ones.
        batch: Input of `model`, as for `data_dependent_init`.

    Raises:
        ValueError: If the model has no such convolution, or if an output is not finite.

    Example:

    >>> import numpy as np, keras
    >>> model = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(3, 1)])
    >>> batch = np.random.default_rng(0).normal(5.0, 2.0, (64, 4, 4, 2))
    >>> start_biases(model, batch)
    >>> bool(abs(np.mean(model(batch), axis=(0, 1, 2))).max() < 1e-4)
    True

    Reference: RescaleNet, Shao et al. 2020, "Is normalization indispensable for training deep
    neural networks?", NeurIPS. There, the bias stands in front of the convolution.
    """
    convolutions = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
    found = [
        layer
        for layer in _layers_outside_of_loops(model)
        if isinstance(layer, convolutions) and layer.use_bias and layer.bias.trainable
    ]
    if not found:
        raise ValueError(f"start_biases: model '{model.name}' has no convolution with a bias.")
    with contextlib.ExitStack() as stack:
        for layer in found:
            call = functools.partial(_first_biased, layer, layer.call, [])
            stack.enter_context(replaced_call(layer, call))
        before = [(layer.bias, ops.copy(layer.bias.value)) for layer in found]
        try:
            model(_first_batch(batch), training=False)
        except Exception:
            for variable, value in before:
                variable.assign(value)
            raise


def _first_biased(layer, call, done, *args, **kwargs):
    if not done:
        done.append(True)
        activation, layer.activation = layer.activation, activations.linear
        try:
            with full_precision():
                layer.bias.assign(ops.zeros(layer.bias.shape))
            outputs = ops.cast(call(*args, **kwargs), "float32")
        finally:
            layer.activation = activation
        (channel_axis,) = _channel_axes(layer, len(outputs.shape))
        axes = [a for a in range(len(outputs.shape)) if a != channel_axis]
        mean = ops.mean(outputs, axis=axes)
        if not bool(ops.convert_to_numpy(ops.all(ops.isfinite(mean)))):
            raise ValueError(
                f"start_biases: the output of layer '{layer.name}' is not finite on this batch."
            )
        with full_precision():
            layer.bias.assign(-mean)
    return call(*args, **kwargs)


def _layers_outside_of_loops(model):
    layers = list(model._flatten_layers())
    looped = {
        id(sublayer)
        for layer in layers
        if isinstance(layer, _LOOPS)
        for sublayer in layer._flatten_layers()
    }
    return [layer for layer in layers if id(layer) not in looped]


def _scale_of(layer, init_scale):
    scale = init_scale(layer) if callable(init_scale) else init_scale
    if not isinstance(scale, int | float | np.number) or not scale >= 0:
        raise ValueError(
            f"data_dependent_init: init_scale={scale!r} is not allowed. Allowed: a number of at "
            "least 0."
        )
    return scale


def _first_batch(batch):
    """Returns the inputs of a batch: `batch` itself, or those of the first of several batches."""
    if isinstance(batch, keras.utils.PyDataset):
        first = batch[0] if batch.num_batches != 0 else None
    elif (
        hasattr(batch, "shape")
        or not hasattr(batch, "__iter__")
        or isinstance(batch, list | tuple | dict)
    ):
        return batch
    else:
        first = next(iter(batch), None)
    if first is None:
        raise ValueError(
            f"data_dependent_init: batch={batch!r} gives no batch. Allowed: at least one."
        )
    inputs, _, _ = keras.utils.unpack_x_y_sample_weight(first)
    # Convert tensors of another library than the backend, for example TensorFlow's on JAX.
    return keras.tree.map_structure(lambda x: x if backend.is_tensor(x) else np.asarray(x), inputs)


@dataclasses.dataclass(frozen=True)
class _Target:
    """A layer to set.

    Attributes:
        layer: The weight-normalized layer, whose call is watched.
        gain: The gain of its last kernel.
        inner: The layer that holds the bias and the activation: `layer`, or the one it wraps.
    """

    layer: keras.layers.Layer
    gain: Gain
    inner: keras.layers.Layer

    @property
    def bias(self) -> keras.Variable | None:
        """The bias to set. `None` if there is none, or if it is frozen."""
        bias = self.inner.bias
        return None if bias is None or not bias.trainable else bias


def _target(layer):
    """Returns the `_Target` of a layer, or `None` if it is not one of those that are set."""
    # After a call of the model, a layer that is not built was not called.
    if not isinstance(layer, Reparameterized | WeightNormalization) or not is_built(layer):
        return None
    inner = layer.layer if isinstance(layer, WeightNormalization) else layer
    if not isinstance(inner, (*LINEAR, keras.layers.EinsumDense)):
        return None
    # The units of the last kernel are the channels of the output. In a separable convolution, the
    # depthwise kernel comes before it.
    last = kernels_of(inner)[-1]
    for kernel, gain in layer.kernels_and_gains():
        is_last = kernel.name == last.name
        has_same_axes = (kernel.fan_in, kernel.gain_axes) == (last.fan_in, last.gain_axes)
        if gain is not None and is_last and has_same_axes:
            return _Target(layer, gain, inner)
    return None


def _first_call(target, call, init_scale, done, *args, **kwargs):
    if not done:
        done.append(True)
        _set_gain_and_bias(target, call, init_scale, *args, **kwargs)
    return call(*args, **kwargs)


def _first_centering(layer, call, done, inputs, **kwargs):
    if not done:
        done.append(True)
        with full_precision():
            layer.moving_mean.assign(layer.batch_mean(inputs, kwargs.get("mask")))
    return call(inputs, **kwargs)


def _set_gain_and_bias(target, call, init_scale, *args, **kwargs):
    # Leave out the scale of `JoinWeights`, which belongs to w and not to v and may start at 0.
    kwargs.pop("scale", None)
    inner, name = target.inner, target.layer.name
    activation, inner.activation = inner.activation, activations.linear
    try:
        target.gain.assign(ops.ones(target.gain.variable.shape))
        if target.bias is not None:
            with full_precision():
                target.bias.assign(ops.zeros(target.bias.shape))
        t = call(*args, **kwargs)
        t = ops.cast(t, keras.backend.result_type(t.dtype, "float32"))
    finally:
        inner.activation = activation
    channel_axes = _channel_axes(inner, len(t.shape))
    axes = [a for a in range(len(t.shape)) if a not in channel_axes]
    mean = ops.mean(t, axis=axes, keepdims=True)
    # Subtract the mean before squaring. `ops.moments` subtracts squares, which leaves rounding
    # noise where a channel is constant.
    std = ops.sqrt(ops.mean(ops.square(t - mean), axis=axes, keepdims=True))
    constant = std < _MIN_STD * (1.0 + ops.abs(mean))
    if not bool(ops.convert_to_numpy(ops.all(ops.isfinite(std)))):
        raise ValueError(
            f"data_dependent_init: the output of layer '{name}' is not finite on this batch."
        )
    if bool(ops.convert_to_numpy(ops.any(constant))):
        warnings.warn(
            f"data_dependent_init: layer '{name}' has channels that are constant on this batch.",
            stacklevel=4,
        )
    gain = init_scale / ops.where(constant, ops.ones_like(std), std)
    in_order = sorted(channel_axes)
    per_channel = ops.reshape(gain, [t.shape[a] for a in in_order])
    target.gain.assign(ops.transpose(per_channel, [in_order.index(a) for a in channel_axes]))
    if target.bias is not None:
        with full_precision():
            target.bias.assign(_reshaped_bias(inner, -mean * gain, t))


def _channel_axes(layer, rank):
    """Returns the axes of a layer's output that its gain has, in the order of the gain's axes."""
    if isinstance(layer, keras.layers.EinsumDense):
        kernel, output = layer.equation.replace(" ", "").split(",")[1].split("->")
        letters = output.replace("...", "")
        first = rank - len(letters) if output.startswith("...") else 0
        return [first + letters.index(letter) for letter in kernel if letter in letters]
    return [1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1]


def _reshaped_bias(layer, b, t):
    """Brings b, which has the rank of the output t, to the shape of the layer's bias."""
    shape = layer.bias.shape
    if not isinstance(layer, keras.layers.EinsumDense):
        return ops.reshape(b, shape)
    # The bias of an einsum layer may lack axes that g has, over which the mean is taken, and may
    # have axes that g lacks, along which b repeats.
    first = len(t.shape) - len(shape)
    lacking = [*range(first), *(first + a for a, n in enumerate(shape) if n == 1)]
    return ops.reshape(ops.mean(ops.broadcast_to(b, t.shape), axis=lacking), shape)
