"""Losses that are added inside of a weight-normalized layer count once, on every backend and in every way to call."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_wn.layers import WeightNormalization, WNDense
from tests.helpers import to_numpy

X = np.ones((4, 5), "float32")


@keras.saving.register_keras_serializable(package="tests")
class WithLoss(WNDense):
    """Adds a loss of its own in `call`."""

    def call(self, inputs, **kwargs):
        outputs = super().call(inputs, **kwargs)
        self.add_loss(0.5 * keras.ops.sum(outputs))
        return outputs


@keras.saving.register_keras_serializable(package="tests")
class PlainWithLoss(kl.Dense):
    def call(self, inputs, **kwargs):
        outputs = super().call(inputs, **kwargs)
        self.add_loss(0.5 * keras.ops.sum(outputs))
        return outputs


def ones(layer_class, **kwargs):
    return layer_class(3, kernel_initializer="ones", **kwargs)


# A weight-normalized layer, and the plain one that has the same losses.
PAIRS = {
    "activity_regularizer": (
        lambda: WeightNormalization(ones(kl.Dense, activity_regularizer="l2")),
        lambda: ones(kl.Dense, activity_regularizer="l2"),
    ),
    "add_loss": (lambda: WeightNormalization(ones(PlainWithLoss)), lambda: ones(PlainWithLoss)),
    "subclass": (lambda: ones(WithLoss), lambda: ones(PlainWithLoss)),
    "subclass_activity": (
        lambda: ones(WNDense, activity_regularizer="l2"),
        lambda: ones(kl.Dense, activity_regularizer="l2"),
    ),
    "kernel_regularizer": (
        lambda: WeightNormalization(ones(kl.Dense, kernel_regularizer="l2")),
        lambda: ones(kl.Dense, kernel_regularizer="l2"),
    ),
    "wrapper_activity": (
        lambda: WeightNormalization(ones(kl.Dense), activity_regularizer="l2"),
        lambda: ones(kl.Dense, activity_regularizer="l2"),
    ),
    "two_layers_inside": (
        lambda: WeightNormalization(keras.Sequential([ones(PlainWithLoss), ones(kl.Dense, activity_regularizer="l1")])),
        lambda: keras.Sequential([ones(PlainWithLoss), ones(kl.Dense, activity_regularizer="l1")]),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_evaluation_is_that_of_the_plain_layer(name):
    results = []
    for make in PAIRS[name]:
        model = keras.Sequential([keras.Input((5,)), make()])
        model.compile("sgd", "mse")
        results.append(model.evaluate(X, np.zeros((4, 3)), verbose=0))
        # The second call must not see the losses of the first.
        results.append(model.evaluate(X, np.zeros((4, 3)), verbose=0))
    np.testing.assert_allclose(results, results[-1], rtol=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_losses_of_eager_and_stateless_calls_are_those_of_the_plain_layer(name):
    listed = []
    for make in PAIRS[name]:
        model = keras.Sequential([keras.Input((5,)), make()])
        model(X)
        model(X)
        eager = sorted(float(to_numpy(loss)) for loss in model.losses)
        trainable, others = ([v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables))
        _, _, losses = model.stateless_call(trainable, others, X, return_losses=True)
        listed.append((eager, sorted(float(to_numpy(loss)) for loss in losses)))
    assert len(listed[0][0]) == len(listed[1][0]) > 0
    for found, expected in zip(*listed, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_figure_of_the_report():
    model = keras.Sequential([keras.Input((5,)), PAIRS["activity_regularizer"][0]()])
    model.compile("sgd", "mse")
    assert model.evaluate(X, np.zeros((4, 3)), verbose=0) == pytest.approx(25.75)
