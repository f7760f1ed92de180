"""The step that XLA compiles under tf.distribute: two replicas do what one does."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_wn import methods
from keras_wn.training import strategies
from keras_wn.training.compiled_step import CompiledStepModel
from keras_wn.training.optimizer import SGDL2
from tests.parameters import slow

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(32, 8, 8, 3)).astype("float32")
LABELS = np.eye(4, dtype="float32")[RNG.integers(0, 4, 32)]


def batches(images=IMAGES):
    return tf.data.Dataset.from_tensor_slices((images, LABELS)).batch(8)


def net(norm):
    card = methods.get(norm)
    inputs = x = keras.Input((8, 8, 3))
    for i in range(3):
        x = card.activation(f"act_{i}")(card.convolution(x, 8, 3, 1, methods.Place("inner"), f"conv_{i}"))
    return inputs, card.head(4, "head")(keras.layers.GlobalAveragePooling2D()(x))


def strategy(replicas):
    # The process's only one: the collectives of a second one would clash with the first's.
    return strategies.build("mirrored", 2) if replicas > 1 else strategies.build("none", 0)


@functools.cache
def trained(replicas, norm="wn", xla=False, epochs=2, global_clipnorm=None):
    """A model after a few epochs, and what `fit` returned."""
    with strategy(replicas).scope():
        optimizer = SGDL2(
            1e-3, ("kernel",), sums_gradients=False, learning_rate=0.05, momentum=0.9, global_clipnorm=global_clipnorm
        )
    return fit(replicas, norm, xla, IMAGES, epochs, optimizer)


def fit(replicas, norm, xla, images, epochs, optimizer, accumulation=1):
    keras.utils.set_random_seed(0)
    with strategy(replicas).scope():
        model = CompiledStepModel(*net(norm), xla=xla, accumulation=accumulation)
        model.compile(
            optimizer=optimizer,
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=False,
        )
    return model, model.fit(batches(images), epochs=epochs, verbose=0, shuffle=False).history


def assert_same(one, two, atol=1e-6):
    for a, b in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=atol, rtol=0, err_msg=a.path)


@pytest.mark.parametrize("norm", ["none", "wn", "normprop", "wn_trelu", slow("wn_robust")])
def test_two_replicas_are_one(norm):
    one, history = trained(1, norm)
    two, of_two = trained(2, norm)
    assert_same(one, two)
    assert history["loss"][-1] < history["loss"][0]
    np.testing.assert_allclose(of_two["loss"], history["loss"], rtol=1e-5)
    np.testing.assert_allclose(of_two["accuracy"], history["accuracy"], rtol=1e-6)


@pytest.mark.slow
def test_two_replicas_under_xla_are_one_without():
    assert_same(trained(1)[0], trained(2, xla=True)[0])


class OfWords(keras.layers.Layer):
    """XLA has no strings."""

    def call(self, x):
        # Of the values: what only shapes go into, TensorFlow computes before XLA sees it.
        return x * tf.cast(tf.strings.length(tf.strings.as_string(tf.stop_gradient(x))), "float32")

    def compute_output_shape(self, input_shape):
        return input_shape


def test_xla_really_compiles_the_step():
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(2)(OfWords()(inputs))
    data = tf.data.Dataset.from_tensors((np.ones((2, 4), "float32"), np.ones((2, 2), "float32")))
    for xla in (False, True):
        model = CompiledStepModel(inputs, outputs, xla=xla)
        model.compile("sgd", keras.losses.MeanSquaredError())
        if xla:
            with pytest.raises(tf.errors.InvalidArgumentError, match="AsString"):
                model.fit(data, verbose=0, shuffle=False)
        else:
            model.fit(data, verbose=0, shuffle=False)


def test_one_replica_is_stock_keras():
    keras.utils.set_random_seed(0)
    stock = keras.Model(*net("bn"))
    stock.compile(
        optimizer=SGDL2(1e-3, ("kernel",), learning_rate=0.05, momentum=0.9),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    history = stock.fit(batches(), epochs=2, verbose=0, shuffle=False).history
    ours, of_ours = trained(1, "bn")
    assert_same(stock, ours)
    np.testing.assert_allclose(of_ours["loss"], history["loss"], rtol=1e-6)


def test_clipping_acts_on_the_sum_of_the_replicas():
    clipped, _ = trained(1, global_clipnorm=0.1)
    assert_same(clipped, trained(2, global_clipnorm=0.1)[0])
    with pytest.raises(AssertionError):
        assert_same(clipped, trained(1)[0])


@pytest.mark.parametrize("norm", ["bn", slow("wn_mobn"), slow("bwn")])
def test_statistics_of_batch_norm_are_averaged_over_the_replicas(norm, tmp_path):
    model, _ = trained(2, norm)
    model.save_weights(tmp_path / "of.weights.h5")
    with strategy(2).scope():
        copy = CompiledStepModel(*net(norm))
        copy.load_weights(tmp_path / "of.weights.h5")
    assert_same(model, copy, atol=0)
    assert_statistics_are_equal(model)
    assert_statistics_are_equal(copy)


def assert_statistics_are_equal(model):
    statistics = [v for v in model.non_trainable_variables if v.name.startswith("moving")]
    assert statistics
    for variable in statistics:
        first, second = (replica.numpy() for replica in variable.value.values)
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("accumulation, updates", [(1, 3), slow(2, 1)])
def test_infinity_on_one_replica_alone_skips_the_step_on_all(accumulation, updates):
    keras.config.set_dtype_policy("mixed_float16")
    images = IMAGES.copy()
    images[4:8] = 6e4  # Of the first batch of 4, what the second replica gets; its loss is not finite in float16.

    with strategy(2).scope():
        inner = SGDL2(sums_gradients=False, learning_rate=0.05, momentum=0.9)
        optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=1024.0)
    model, _ = fit(2, "bn", False, images, 1, optimizer, accumulation)
    assert all(np.all(np.isfinite(v.numpy())) for v in model.variables + model.optimizer.variables)
    assert_statistics_are_equal(model)
    assert int(model.optimizer.inner_optimizer.iterations.numpy()) == updates
    assert float(model.optimizer.dynamic_scale.numpy()) == 512.0
