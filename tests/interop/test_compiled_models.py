"""`fold` and `weight_norm` compile their copies, which share nothing with the original."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn.layers import WeightNormalization, WNConv2D, WNDense
from tests.helpers import to_numpy

X = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
Y = np.ones((4, 2), "float32")


def own_loss(target, output):
    return keras.ops.mean(keras.ops.abs(target - output), axis=-1)


def own_metric(target, output):
    return keras.ops.max(keras.ops.abs(target - output), axis=-1)


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden, self.head = WNDense(3, activation="relu"), kl.Dense(2)

    def call(self, x):
        return self.head(self.hidden(x))


def sequential():
    return keras.Sequential([keras.Input((6,)), WNDense(3, activation="relu"), kl.Dense(2)])


def functional():
    inputs = keras.Input((6,))
    return keras.Model(inputs, kl.Dense(2)(WeightNormalization(kl.Dense(3))(inputs)))


def subclassed():
    model = Subclassed()
    model(X)
    return model


# A Sequential model is cloned by the same code as a functional one; the last tests are of one.
MODELS = [functional, subclassed]
FUNCTIONS = [keras_wn.fold, keras_wn.weight_norm]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("make", MODELS)
def test_own_loss_and_metric_leave_the_model_uncompiled_with_one_warning(make, function):
    model = make()
    model.compile("sgd", loss=own_loss, metrics=[own_metric])
    model.fit(X, Y, verbose=0)
    with pytest.warns(
        UserWarning, match="is returned without being compiled.*Call compile"
    ) as caught:
        new = function(model)
    assert len([w for w in caught if "without being compiled" in str(w.message)]) == 1
    assert model.compiled and not new.compiled
    np.testing.assert_allclose(to_numpy(new(X)), to_numpy(model(X)), rtol=1e-5, atol=1e-6)
    new.compile("sgd", loss=own_loss)
    new.fit(X, Y, verbose=0)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("make", MODELS)
def test_what_keras_knows_is_compiled_again(make, function):
    model = make()
    model.compile(keras.optimizers.SGD(0.125), loss="mse", metrics=["mae"])
    model.fit(X, Y, verbose=0)
    new = function(model)
    assert new.compiled and float(new.optimizer.learning_rate) == 0.125
    new.fit(X, Y, verbose=0)


def test_folding_batch_normalization_of_a_model_with_its_own_loss():
    model = keras.Sequential([keras.Input((6,)), WNDense(2), kl.BatchNormalization()])
    model.compile("sgd", loss=own_loss)
    with pytest.warns(UserWarning, match="is returned without being compiled"):
        folded = keras_wn.fold(model, fold_bn=True)
    np.testing.assert_allclose(to_numpy(folded(X)), to_numpy(model(X)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("make", MODELS)
def test_training_one_leaves_the_other_alone(make, function):
    model = make()
    model.compile("sgd", "mse")
    new = function(model)
    before = [array.copy() for array in new.get_weights()]
    model.fit(X, Y, verbose=0, epochs=2)
    for value, array in zip(new.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, array)
    before = [array.copy() for array in model.get_weights()]
    new.fit(X, Y, verbose=0, epochs=2)
    for value, array in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, array)


def test_training_a_folded_model_with_batch_normalization_leaves_the_original_alone():
    model = keras.Sequential(
        [keras.Input((5, 5, 2)), WNConv2D(3, 3), kl.BatchNormalization(), kl.Flatten(), kl.Dense(2)]
    )
    images = np.random.default_rng(1).normal(size=(4, 5, 5, 2))
    model.compile("sgd", "mse")
    folded = keras_wn.fold(model, fold_bn=True)
    expected = to_numpy(folded(images)).copy()
    model.fit(images, Y, verbose=0)
    np.testing.assert_array_equal(to_numpy(folded(images)), expected)
    expected = to_numpy(model(images)).copy()
    folded.fit(images, Y, verbose=0)
    np.testing.assert_array_equal(to_numpy(model(images)), expected)


def test_own_function_with_the_name_of_keras_own_is_not_taken_for_it():
    def mean_squared_error(target, output):
        return 100 * keras.ops.mean(keras.ops.abs(target - output), axis=-1)

    model = sequential()
    model.compile("sgd", loss=mean_squared_error)
    with pytest.warns(
        UserWarning, match="loss has the function 'mean_squared_error', which is not registered"
    ):
        assert not keras_wn.fold(model).compiled
    model.compile("sgd", loss=keras.losses.mean_squared_error)
    assert keras_wn.fold(model).compiled


@keras.saving.register_keras_serializable(package="tests")
def registered_loss(target, output):
    return keras.ops.mean(keras.ops.abs(target - output), axis=-1)


def test_registered_function_is_compiled_again():
    model = sequential()
    model.compile("sgd", loss=registered_loss)
    folded = keras_wn.fold(model)
    assert folded.compiled
    folded.fit(X, Y, verbose=0)
