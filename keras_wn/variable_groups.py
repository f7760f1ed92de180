"""Sorts the weights of a model into directions, gains, biases and others, for the optimizer."""

from typing import NamedTuple

import keras

from keras_wn.layers import WeightNormalization
from keras_wn.layers.reparameterized import Reparameterized


class VariableGroups(NamedTuple):
    """The weights of a model, each in one of four lists.

    Attributes:
        v: The directions: kernels that are weight-normalized.
        g: Their gains, or the logarithms of the gains.
        bias: The biases of normalized and of plain layers.
        other: All other weights, such as plain kernels, and gamma and beta of a batch
            normalization.
    """

    v: list[keras.Variable]
    g: list[keras.Variable]
    bias: list[keras.Variable]
    other: list[keras.Variable]


def variable_groups(model: keras.layers.Layer) -> VariableGroups:
    """Sorts the weights of a model into v, g, bias and other.

    Weight decay of v does not change the function that a weight-normalized layer computes; it only
    sets the effective step size. Weight decay of g shrinks the weight `w = g v / ||v||` itself.
    Keras' optimizers decay all variables except those that they are told to exclude.

    Args:
        model: Built Keras model or layer.

    Returns:
        `VariableGroups` with four lists, each in the order of `model.weights`.

    Raises:
        ValueError: If the model is not built.

    Example:

    >>> import keras, keras_wn
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras_wn.layers.WNDense(3), keras.layers.Dense(2)]
    ... )
    >>> groups = keras_wn.variable_groups(model)
    >>> [variable.name for variable in groups.v + groups.g + groups.bias + groups.other]
    ['kernel', 'kernel_g', 'bias', 'bias', 'kernel']
    >>> optimizer = keras.optimizers.AdamW(weight_decay=0.01)
    >>> optimizer.exclude_from_weight_decay(var_list=groups.g + groups.bias)

    Reference: van Laarhoven 2017, arXiv 1706.05350, explains the effect of a decay of v.
    """
    if not model.built:
        raise ValueError(
            f"variable_groups: model '{model.name}' is not built. "
            "Call it on a batch, or give it an Input, first."
        )
    v_ids, g_ids = set(), set()
    for layer in model._flatten_layers():
        if isinstance(layer, Reparameterized | WeightNormalization):
            for kernel, gain in layer.kernels_and_gains():
                v_ids.add(id(kernel.variable))
                if gain is not None:
                    g_ids.add(id(gain.variable))
    groups = VariableGroups([], [], [], [])
    for variable in model.weights:
        if id(variable) in v_ids:
            groups.v.append(variable)
        elif id(variable) in g_ids:
            groups.g.append(variable)
        elif variable.name == "bias":
            groups.bias.append(variable)
        else:
            groups.other.append(variable)
    return groups
