"""Holds the ingredients that a method card names: what each allowed value of a field adds.

A table maps the names that are allowed in a field of `MethodCard` to what they add to a network.
The functions below the tables put the layers of a convolution, of an activation and of a classifier
together. A new ingredient is a row in a table.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import keras

from keras_wn.constraints import UnitNorm
from keras_wn.data_dependent_init import data_dependent_init, start_biases
from keras_wn.initializers import CenteredFilters, UnitFilters
from keras_wn.layers import (
    GhostBatchNormalization,
    GroupNormalization,
    MeanOnlyBatchNormalization,
    NormalizedReLU,
    NormPropConv2D,
    ScalarBias,
    ScalarGain,
    ScaledReLU,
    SharedGain,
    SkipInit,
    TReLU,
    WNConv2D,
    WNDense,
)
from keras_wn.layers.activations import relu_moments
from keras_wn.layers.norm_prop import INITIAL_GAIN
from keras_wn.methods.joins import JOINS, terms

# The negative slope of the leaky ReLU.
_SLOPE = 0.2
# The scale of cosines at the start of a classifier, which trains it.
_COSINE_SCALE = 10.0
# The learning rate of Fixup's scalars is a tenth of that of kernels in the authors' code. Here, the
# layers multiply their numbers by this factor. The steps of the products are then a tenth of those
# that the numbers themselves would take.
FIXUP_FACTOR = math.sqrt(0.1)


@dataclasses.dataclass(frozen=True)
class Weights:
    """How a convolution computes its weights from its kernel, called v.

    Attributes:
        formula: String, the weights w in terms of v.
        gain: String, whether the weights have a gain per filter: `trained`, `fixed` or `none`.
        is_normalized: Boolean, whether the formula divides by the norm of v.
    """

    formula: str
    gain: str
    is_normalized: bool


WEIGHTS = {
    "plain": Weights("v", "none", False),
    "wn": Weights("g v / ||v||", "trained", True),
    "fixed": Weights("g v / ||v||, g not trained", "fixed", True),
    "strict": Weights("v / ||v||", "none", True),
    "projected": Weights("v, of constant norm g by a rescaling after each step", "fixed", False),
}
# Whether the entries of each filter sum to 0.
CENTER = {
    "no": "filters are not centered",
    "always": "the formula subtracts the mean of v",
    "free": "v starts with mean 0, and so do its gradients, from which the optimizer subtracts it",
}
# What a convolution adds to its output.
BIASES = {
    "filter": "one trained number per filter",
    "none": "nothing",
    "scalar": "one trained number for all filters, before and after each convolution (Fixup)",
}


class CompositionError(ValueError):
    """A method card whose ingredients are unknown, or that no formula allows together.

    Args:
        card: `MethodCard`.
        field: String, the field at fault.
        reason: String.
        allowed: String, the values that are allowed.

    Attributes:
        field, value, reason, allowed: As given, and the value of the field.
    """

    def __init__(self, card: Any, field: str, reason: str, allowed: str):
        self.field, self.value = field, getattr(card, field)
        self.reason, self.allowed = reason, allowed
        super().__init__(
            f"MethodCard '{card.name}': {field}={self.value!r}: {reason}. Allowed: {allowed}."
        )


def _he(place):
    del place  # The same for every convolution.
    return keras.initializers.HeNormal()


def _fixup(place):
    if place.role == "stem":
        return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    if place.role == "last":
        return keras.initializers.Zeros()
    scale = 2.0
    if place.role == "inner":
        # The paper's factor L^(-1 / (2 m - 2)) of the standard deviation, as one of the variance.
        scale *= place.network_blocks ** (-1 / max(place.branch_convolutions - 1, 1))
    return keras.initializers.VarianceScaling(scale, "fan_out", "untruncated_normal")


def _rescaled(place):
    if place.role == "shortcut":
        return keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal")
    scale = 2.0
    if place.role in ("inner", "last"):
        # The product over the branch is L / k, which makes the variance of the branch 1 / k after
        # the join, that of the shortcut (k - 1) / k, and their sum 1.
        share = place.network_blocks / terms(place)
        scale *= share ** (1 / place.branch_convolutions)
    return keras.initializers.VarianceScaling(scale, "fan_in", "untruncated_normal")


# Functions `(place) -> initializer` of the kernels. A card may name one of Keras' own initializers
# as well.
KERNEL_STARTS: dict[str, Callable] = {
    "he": _he,
    "he_fan_out": lambda place: keras.initializers.VarianceScaling(2.0, "fan_out"),
    "lecun": lambda place: keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal"),
    "orthogonal": lambda place: keras.initializers.Orthogonal(),
    "unit": lambda place: UnitFilters("glorot_uniform"),
    "fixup": _fixup,
    "rescaled": _rescaled,
}


def _robust_gain(card, place, channels, filters, kernel_size):
    # The factor of the squared norm of the signal: 2 makes up for the ReLU that follows, and
    # 1 / blocks for the sum of the branches.
    factor = {"inner": 2.0, "last": 1 / place.blocks}.get(place.role, 1.0)
    # The paper's fan-in over its fan-out. Both contain the area of the kernel, which cancels.
    return math.sqrt(factor * channels / filters)


def _standardizing_gain(card, place, channels, filters, kernel_size):
    # The entries of each filter then have mean 0 and variance 1: the sum of the squares of n
    # deviations is n - 1 times their variance.
    return math.sqrt(kernel_size**2 * channels - 1)


def _keeping_gain(card, place, channels, filters, kernel_size):
    # Images are standardized, and everything else that a convolution reads is an activation.
    gain = 1.0 if place.role == "stem" else 1 / deviation_after(card)
    if JOINS[card.join].grows:
        # Each branch adds the square of its factor to the variance of the main path, which is 1
        # after a projection and the stem. The division is the paper's beta.
        gain /= math.sqrt(1 + place.sums * (card.branch_factor or 1.0) ** 2)
    # Without a scalar at the end of the branch, the gain of the last convolution takes its place.
    if place.role == "last" and not card.branch_scalar:
        gain *= _start(place, "gain") * (card.branch_factor or 1.0)
    return gain


# The normalizations that have a gamma.
_WITH_GAMMA = ("batch", "group")


def held(card: Any) -> str:
    """What holds the scale at the end of a branch at the start: `scalar`, `gamma` or `gain`."""
    if card.branch_scalar:
        return "scalar"
    return "gamma" if card.normalization in _WITH_GAMMA else "gain"


def _start(place, holder):
    """The number that a gain, a gamma or a scalar starts with at a place."""
    return place.start if held(place.method) == holder else 1.0


# Functions `(card, place, channels, filters, kernel_size) -> float` of the gain that a convolution
# starts with: its trained or its fixed one, or the norm that a projected kernel keeps.
GAIN_STARTS: dict[str, Callable] = {
    # 1, or the scale at the end of a branch. A start from data gives outputs this deviation.
    "branch_scale": lambda card, place, *_: _start(place, "gain"),
    # It makes up for the activation, and none follows the last convolution of a branch.
    "norm_prop": lambda card, place, *_: 1.0 if place.role == "last" else INITIAL_GAIN,
    "robust": _robust_gain,
    # The root mean square of the filters' norms at the start: each of the area * channels entries
    # of v has variance 2 / (area * filters).
    "mean_norm": lambda card, place, channels, filters, _: math.sqrt(2 * channels / filters),
    "standardizing": _standardizing_gain,
    # It keeps the variance of the signal at 1.
    "keeping": _keeping_gain,
}


def _batch_norm(x, place, name):
    options = {
        # The values of ImageNet recipes. Keras' defaults are 0.99 and 1e-3.
        "momentum": 0.9,
        "epsilon": 1e-5,
        "gamma_initializer": keras.initializers.Constant(_start(place, "gamma")),
        "name": f"{name}_bn",
    }
    if place.method.statistics_batch:
        return GhostBatchNormalization(place.method.statistics_batch, **options)(x)
    return keras.layers.BatchNormalization(**options)(x)


def _group_norm(x, place, name):
    channels = x.shape[-1]
    # The paper's least number of channels in a group is 2, in ResNet-50's first layers.
    groups = min(place.method.groups or 32, max(1, channels // 2))
    if channels % groups:
        reason = f"does not divide the {channels} channels of '{name}'"
        raise CompositionError(place.method, "groups", reason, "divisors of the channels")
    return GroupNormalization(
        groups,
        epsilon=1e-5,
        gamma_initializer=keras.initializers.Constant(_start(place, "gamma")),
        name=f"{name}_gn",
    )(x)


# Functions `(x, place, name) -> tensor` that normalize the output of a convolution.
NORMALIZATIONS: dict[str, Callable] = {
    "none": lambda x, place, name: x,
    "batch": _batch_norm,
    "group": _group_norm,
    # Of a batch, the mean alone is subtracted.
    "mean": lambda x, place, name: MeanOnlyBatchNormalization(momentum=0.9, name=f"{name}_bn")(x),
}


@dataclasses.dataclass(frozen=True)
class Activation:
    """An activation that a card can name.

    Attributes:
        make: Function `(name) -> layer`.
        mean, deviation: Floats, mean and standard deviation of its outputs for standard Gaussian
            inputs, at the start.
    """

    make: Callable
    mean: float
    deviation: float


def _leaky():
    # Scaled to a mean square of 1.
    mean, deviation = relu_moments(_SLOPE)
    scale = 1 / math.hypot(mean, deviation)
    return Activation(
        lambda name: ScaledReLU(scale, _SLOPE, name=name), scale * mean, scale * deviation
    )


_MEAN, _DEVIATION = relu_moments()
ACTIVATIONS = {
    "relu": Activation(lambda name: keras.layers.ReLU(name=name), _MEAN, _DEVIATION),
    # Scaled to a variance of 1.
    "scaled": Activation(
        lambda name: ScaledReLU(1 / _DEVIATION, name=name), _MEAN / _DEVIATION, 1.0
    ),
    "normalized": Activation(lambda name: NormalizedReLU(name=name), 0.0, 1.0),
    "translated": Activation(lambda name: TReLU(name=name), _MEAN, _DEVIATION),
    "leaky": _leaky(),
    "identity": Activation(lambda name: keras.layers.Identity(name=name), 0.0, 1.0),
}


def activation_of(name: str) -> Activation:
    """The activation of this name: one of `ACTIVATIONS`, or one of Keras, whose moments are NaN.

    Raises:
        ValueError: If neither has the name.
    """
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    keras.activations.get(name)
    return Activation(
        lambda layer_name: keras.layers.Activation(name, name=layer_name), math.nan, math.nan
    )


def deviation_after(card: Any) -> float:
    """The factor of the signal that a convolution has to make up for if it follows an activation.

    Centered filters do not see the mean of the activation, so that the factor is its standard
    deviation; for others, it is the root of its mean square.
    """
    activation = activation_of(card.activation)
    mean = 0.0 if card.center != "no" else activation.mean
    return math.hypot(mean, activation.deviation)


def _cosine(classes, name):
    unit = keras.layers.UnitNormalization(dtype="float32", name=f"{name}_features")
    dense = WNDense(classes, use_gain=False, use_bias=False, dtype="float32", name=f"{name}_cosine")
    scale = ScalarGain(keras.initializers.Constant(_COSINE_SCALE), dtype="float32", name=name)
    return lambda x: scale(dense(unit(x)))


# Functions `(classes, name) -> layer` that returns logits.
CLASSIFIERS: dict[str, Callable] = {
    "plain": lambda classes, name: keras.layers.Dense(classes, dtype="float32", name=name),
    "zeros": lambda classes, name: keras.layers.Dense(
        classes, kernel_initializer="zeros", dtype="float32", name=name
    ),
    "wn": lambda classes, name: WNDense(
        classes, gain_initializer="ones", dtype="float32", name=name
    ),
    # A trained scale times the cosine of features and class weights.
    "cosine": _cosine,
}


@dataclasses.dataclass(frozen=True)
class DataStart:
    """A start from data, which is called as `start(model, batch)` once before training.

    Attributes:
        name: String, as a card names it.
        function: Function `(model, batch)`.
        sets: String, what it sets.
    """

    name: str
    function: Callable
    sets: str

    def __call__(self, model: keras.Model, batch: Any) -> None:
        self.function(model, batch)


# Gives the outputs of each layer mean 0, and the standard deviation that its gain starts at.
_GAINS = functools.partial(
    data_dependent_init, init_scale=lambda layer: getattr(layer.gain_initializer, "value", 1.0)
)
DATA_STARTS = {
    start.name: start
    for start in (
        DataStart("gains", _GAINS, "gains and biases"),
        DataStart("biases", start_biases, "biases"),
    )
}


def add_convolution(x, filters, kernel_size, strides, place, name):
    """Adds the convolution, with all that belongs to it, that the card of `place` is composed of.

    Args:
        x, filters, kernel_size, strides, place, name: As for `MethodCard.add_convolution`.

    Returns:
        Tensor.

    Raises:
        ValueError: If a filter has a fan-in of 1 and is centered, or if the groups of a group
            normalization do not divide the channels.
    """
    card = place.method
    if card.biases == "scalar" and place.role != "stem":
        x = _scalar_bias(x, f"{name}_bias_before")
    scale = place.scale
    if card.scalar_is_in_kernel and place.role == "last":
        start, factor = _scalar_start(place), card.branch_factor
        scalar = SharedGain(filters, start, factor, name=f"{name}_scalar")(x)
        scale = scalar if scale is None else scalar * scale
    layer = _layer(card, place, x.shape[-1], filters, kernel_size, strides, name)
    x = layer(x) if scale is None else layer(x, scale=scale)
    x = NORMALIZATIONS[card.normalization](x, place, name)
    if card.branch_scalar and place.role == "last" and not card.scalar_is_in_kernel:
        x = _branch_scalar(x, place, name)
    if card.biases == "scalar" and place.role != "shortcut":
        x = _scalar_bias(x, f"{name}_bias_after")
    return x


def _layer(card, place, channels, filters, kernel_size, strides, name):
    if card.center != "no" and kernel_size**2 * channels == 1:
        reason = f"the filters of '{name}' have one entry, which would be 0"
        raise CompositionError(card, "center", reason, "no, or a fan-in of 2 or more")
    weights, options = WEIGHTS[card.weights], dict(card.weight_options)
    start = KERNEL_STARTS.get(card.kernel_start)
    start = start(place) if start else keras.initializers.get(card.kernel_start)
    start = CenteredFilters(start) if card.center == "free" else start
    kind = WNConv2D if weights.is_normalized else keras.layers.Conv2D
    gain = GAIN_STARTS[card.gain_start](card, place, channels, filters, kernel_size)
    if card.weights == "projected":
        start, options["kernel_constraint"] = UnitFilters(start, norm=gain), UnitNorm(norm=gain)
    elif weights.gain != "none":
        options["gain_initializer"] = keras.initializers.Constant(gain)
        options["trainable_gain"] = weights.gain == "trained"
    elif weights.is_normalized:
        options["use_gain"] = False
    if card.center == "always":
        options["center"] = True
    if card.unit_v:
        kind, options["kernel_constraint"] = NormPropConv2D, UnitNorm()
        # A convolution inside of a branch computes its activation itself, which is faster.
        options["activation"] = NormalizedReLU() if card.activation_is_in(place) else None
    return kind(
        filters,
        kernel_size,
        strides,
        padding="same",
        use_bias=card.biases == "filter",
        kernel_initializer=start,
        name=name,
        **options,
    )


def _branch_scalar(x, place, name):
    card = place.method
    kind, end = (ScalarGain, "multiplier") if card.branch_scale is None else (SkipInit, "skip")
    return kind(_scalar_start(place), card.branch_factor, name=f"{name}_{end}")(x)


def _scalar_start(place):
    card = place.method
    # Where a card leaves no choice, the product with the factor starts at 1.
    start = 1 / card.branch_factor if card.branch_scale is None else place.start
    return keras.initializers.Constant(start)


def _scalar_bias(x, name):
    return ScalarBias(factor=FIXUP_FACTOR, name=name)(x)


def add_classifier(card: Any, x: keras.KerasTensor, classes: int, name: str) -> keras.KerasTensor:
    """Adds the classifier that a card names."""
    if card.biases == "scalar":
        x = _scalar_bias(x, f"{name}_bias_before")
    return CLASSIFIERS[card.classifier](classes, name)(x)


def starts_at_zero(card: Any, among: str) -> str:
    """Which trained units start at 0, among `all` of a card or its `kernels`, or an empty string.

    A scalar, which has no axes, is not a unit.
    """
    if card.kernel_start == "fixup":
        return "the last convolution of each branch and the classifier start at 0"
    if card.classifier == "zeros":
        return "the classifier starts at 0"
    if among == "all" and card.branch_scale == 0:
        if held(card) == "gamma":
            return "the gammas at the end of each branch start at 0"
        if held(card) == "gain" and WEIGHTS[card.weights].gain == "trained":
            return "the gains at the end of each branch start at 0"
    return ""
