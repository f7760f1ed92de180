"""Sorts the variables of a model by what they are, so that an optimizer can treat each kind in its own way."""

from typing import NamedTuple

import keras

from keras_wn.layers import WeightNormalization
from keras_wn.layers.reparameterized import Reparameterized


class VariableGroups(NamedTuple):
    """The weights of a model, each in one list.

    Attributes:
        v: The directions: kernels that are weight-normalized.
        g: Their gains, or the logarithms of gains.
        bias: Biases, of normalized and of plain layers.
        other: The rest: plain kernels, and what other layers have, such as gamma and beta of a batch normalization.
    """

    v: list[keras.Variable]
    g: list[keras.Variable]
    bias: list[keras.Variable]
    other: list[keras.Variable]


def variable_groups(model: keras.layers.Layer) -> VariableGroups:
    """The weights of a model that are v, g, bias, and other.

    A decay of v alone does not change what a weight-normalized layer computes; it sets the step size. A decay of g shrinks the weight
    `w = g v / ||v||` itself. Keras' optimizers decay all variables but those that they are told to leave out.

    Args:
        model: Built Keras model or layer.

    Returns:
        `VariableGroups` of four lists, in the order of `model.weights`.

    Raises:
        ValueError: If the model is not built.

    Example:

    >>> import keras, keras_wn
    >>> model = keras.Sequential([keras.Input((4,)), keras_wn.layers.WNDense(3), keras.layers.Dense(2)])
    >>> groups = keras_wn.variable_groups(model)
    >>> [variable.name for variable in groups.v + groups.g + groups.bias + groups.other]
    ['kernel', 'kernel_g', 'bias', 'bias', 'kernel']
    >>> optimizer = keras.optimizers.AdamW(weight_decay=0.01)
    >>> optimizer.exclude_from_weight_decay(var_list=groups.g + groups.bias)

    Reference: van Laarhoven 2017, arXiv 1706.05350, on what a decay of v does.
    """
    if not model.built:
        raise ValueError(
            f"variable_groups: model '{model.name}' is not built. Call it on a batch, or give it an Input, first."
        )
    v, g = set(), set()
    for layer in model._flatten_layers():
        if isinstance(layer, Reparameterized | WeightNormalization):
            for kernel, gain in layer.kernels_and_gains():
                v.add(id(kernel.variable))
                g |= {id(gain.variable)} if gain is not None else set()
    groups = VariableGroups([], [], [], [])
    for variable in model.weights:
        if id(variable) in v:
            groups.v.append(variable)
        elif id(variable) in g:
            groups.g.append(variable)
        else:
            (groups.bias if variable.name == "bias" else groups.other).append(variable)
    return groups
