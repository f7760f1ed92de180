"""Data-dependent start of g and b."""

import contextlib
import dataclasses
import functools
import warnings

import keras
import numpy as np
from keras import activations, ops
from keras.src import backend  # Not exported by Keras.

from keras_wn.layers.gains import Gain
from keras_wn.layers.kernels import LINEAR, kernels_of
from keras_wn.layers.mean_only_batch_norm import MeanOnlyBatchNormalization
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
        model: Built Keras model or layer. Dense and einsum layers and convolutions are set, subclasses and wrapped ones alike, a
            separable convolution by its pointwise kernel. Embeddings, recurrent layers, attention, layers inside recurrent layers
            and `TimeDistributed`, wrappers with another `axis`, and layers with `use_gain=False` keep what they have. A layer
            without bias gets its g only; an einsum layer whose bias has other axes than its g gets the mean of the `b` above. A
            layer that is called several times is set by its first call. `MeanOnlyBatchNormalization` gets the batch's mean as its
            moving mean: what follows it is fed as in training.
        batch: What `model` takes, as preprocessed for training. Or what gives batches to `fit`, of which the first is taken, without its
            targets and sample weights: a `tf.data.Dataset`, a `keras.utils.PyDataset`, a PyTorch `DataLoader`, a generator (which then
            goes on with its second).
        init_scale: Positive float, the standard deviation asked for; or a function from a layer to it.

    Returns:
        None. g, b and moving means are assigned, those of all layers or, with an error, none.

    Raises:
        ValueError: If the model is not built, if there is no layer to set, if `init_scale` is not positive, if there is no batch, or if
            an output is not finite.

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
    if not model.built:
        raise ValueError(
            f"data_dependent_init: model '{model.name}' is not built. Call it on a batch, or give it an Input, first."
        )
    layers = list(model._flatten_layers())
    # These call a layer many times, in loops.
    looped = {id(sub) for layer in layers if isinstance(layer, _LOOPS) for sub in layer._flatten_layers()}
    targets = [t for layer in layers if id(layer) not in looped and (t := _target(layer)) is not None]
    if not targets:
        raise ValueError(f"data_dependent_init: model '{model.name}' has no weight-normalized layer with a gain.")
    batch = _first_batch(batch)
    with contextlib.ExitStack() as stack:
        for target in targets:
            scale = init_scale(target.layer) if callable(init_scale) else init_scale
            if not isinstance(scale, int | float | np.number) or not scale > 0:
                raise ValueError(
                    f"data_dependent_init: init_scale={scale!r} is not allowed. Allowed: a positive number."
                )
            call = functools.partial(_first_call, target, target.layer.call, scale, [])
            stack.enter_context(replaced_call(target.layer, call))
        centered = [
            layer for layer in layers if id(layer) not in looped and isinstance(layer, MeanOnlyBatchNormalization)
        ]
        for layer in centered:
            stack.enter_context(replaced_call(layer, functools.partial(_first_centering, layer, layer.call, [])))
        variables = [v for t in targets for v in (t.gain.variable, t.inner.bias) if v is not None]
        before = [(v, ops.copy(v.value)) for v in [*variables, *(layer.moving_mean for layer in centered)]]
        try:
            model(batch, training=False)
        except Exception:
            for variable, value in before:
                variable.assign(value)
            raise


def _first_batch(batch):
    """The inputs of a batch: `batch` itself, or those of the first one where it gives several, as `fit` takes them."""
    if isinstance(batch, keras.utils.PyDataset):
        first = batch[0] if batch.num_batches != 0 else None
    elif hasattr(batch, "shape") or not hasattr(batch, "__iter__") or isinstance(batch, list | tuple | dict):
        return batch
    else:
        first = next(iter(batch), None)
    if first is None:
        raise ValueError(f"data_dependent_init: batch={batch!r} gives no batch. Allowed: at least one.")
    inputs, _, _ = keras.utils.unpack_x_y_sample_weight(first)
    # Of another library than the backend's: TensorFlow's tensors on JAX, for example.
    return keras.tree.map_structure(lambda x: x if backend.is_tensor(x) else np.asarray(x), inputs)


@dataclasses.dataclass(frozen=True)
class _Target:
    """A layer whose call is watched, its gain, and the layer that holds the bias and the activation."""

    layer: keras.layers.Layer
    gain: Gain
    inner: keras.layers.Layer


def _target(layer):
    if not isinstance(layer, Reparameterized | WeightNormalization):
        return None
    inner = layer.layer if isinstance(layer, WeightNormalization) else layer
    if not isinstance(inner, (*LINEAR, keras.layers.EinsumDense)):
        return None
    # The last kernel's units are the output's channels; the depthwise kernel of a separable convolution comes before.
    last = kernels_of(inner)[-1]
    for kernel, gain in layer.kernels_and_gains():
        if gain is not None and (kernel.name, kernel.fan_in, kernel.gain_axes) == (
            last.name,
            last.fan_in,
            last.gain_axes,
        ):
            return _Target(layer, gain, inner)
    return None


_LOOPS = (keras.layers.RNN, keras.layers.TimeDistributed, keras.layers.Bidirectional)


def _first_call(target, call, init_scale, done, *args, **kwargs):
    if not done:
        done.append(True)
        _set_gain_and_bias(target, call, init_scale, *args, **kwargs)
    return call(*args, **kwargs)


def _first_centering(layer, call, done, inputs, **kwargs):
    if not done:
        done.append(True)
        layer.moving_mean.assign(layer.batch_mean(inputs))
    return call(inputs, **kwargs)


def _set_gain_and_bias(target, call, init_scale, *args, **kwargs):
    kwargs.pop("scale", None)  # Of w and not of v: from elsewhere, and it may be 0 at the start.
    inner, name = target.inner, target.layer.name
    activation, inner.activation = inner.activation, activations.linear
    try:
        target.gain.assign(ops.ones(target.gain.variable.shape))
        if inner.bias is not None:
            inner.bias.assign(ops.zeros(inner.bias.shape))
        t = ops.cast(call(*args, **kwargs), "float32")
    finally:
        inner.activation = activation
    channel_axes = _channel_axes(inner, len(t.shape))
    axes = [a for a in range(len(t.shape)) if a not in channel_axes]
    mean = ops.mean(t, axis=axes, keepdims=True)
    # In two passes: `ops.moments` subtracts squares, which leaves noise where a channel is constant.
    std = ops.sqrt(ops.mean(ops.square(t - mean), axis=axes, keepdims=True))
    constant = std < _MIN_STD * (1.0 + ops.abs(mean))
    if not bool(ops.convert_to_numpy(ops.all(ops.isfinite(std)))):
        raise ValueError(f"data_dependent_init: the output of layer '{name}' is not finite on this batch.")
    if bool(ops.convert_to_numpy(ops.any(constant))):
        warnings.warn(
            f"data_dependent_init: layer '{name}' has channels that are constant on this batch.", stacklevel=4
        )
    gain = init_scale / ops.where(constant, ops.ones_like(std), std)
    in_order = sorted(channel_axes)
    per_channel = ops.reshape(gain, [t.shape[a] for a in in_order])
    target.gain.assign(ops.transpose(per_channel, [in_order.index(a) for a in channel_axes]))
    if inner.bias is not None:
        inner.bias.assign(_bias(inner, -mean * gain, t))


def _channel_axes(layer, rank):
    """Axes of a layer's output that its gain has, in the gain's order."""
    if isinstance(layer, keras.layers.EinsumDense):
        kernel, output = layer.equation.replace(" ", "").split(",")[1].split("->")
        letters = output.replace("...", "")
        first = rank - len(letters) if output.startswith("...") else 0
        return [first + letters.index(letter) for letter in kernel if letter in letters]
    return [1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1]


def _bias(layer, b, t):
    """b, of the rank of the output t, in the shape of the layer's bias."""
    shape = layer.bias.shape
    if not isinstance(layer, keras.layers.EinsumDense):
        return ops.reshape(b, shape)
    # The bias of an einsum layer may lack axes of g, where it takes the mean, and have others, where it repeats.
    first = len(t.shape) - len(shape)
    lacking = [*range(first), *(first + a for a, n in enumerate(shape) if n == 1)]
    return ops.reshape(ops.mean(ops.broadcast_to(b, t.shape), axis=lacking), shape)
