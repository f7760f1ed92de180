"""What a step does besides: weights of examples, accumulation, clipping, averages of the weights, several steps at once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_wn.training import agc, strategies
from keras_wn.training.compiled_step import CompiledStepModel
from keras_wn.training.optimizer import SGDL2
from tests.parameters import slow

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 6)).astype("float32")
Y = np.eye(3, dtype="float32")[RNG.integers(0, 3, 32)]
WEIGHTS = RNG.uniform(0, 1, 32).astype("float32") ** 4
WEIGHTS[4:8] = 0.0  # Of the first batch of 8, all that the second of two replicas gets.


def strategy(replicas):
    return strategies.build("mirrored", 2) if replicas > 1 else strategies.build("none", 0)


def compiled(replicas, options=None, optimizer=None, reduction="sum_over_batch_size", make=CompiledStepModel, **kwargs):
    """A small model, the same each time, ready to train."""
    keras.utils.set_random_seed(0)
    with strategy(replicas).scope():
        inputs = keras.Input((6,))
        hidden = keras.layers.Dense(5, "tanh", name="hidden")(inputs)
        model = make(inputs, keras.layers.Dense(3, name="head")(hidden), **(options or {}))
        model.compile(
            SGDL2(**{"learning_rate": 0.1, "momentum": 0.9, "sums_gradients": False, **(optimizer or {})}),
            keras.losses.CategoricalCrossentropy(from_logits=True, reduction=reduction),
            weighted_metrics=["accuracy"],
            **kwargs,
        )
    return model


def trained(replicas, options=None, optimizer=None, batch=8, arrays=(X, Y), epochs=2, callbacks=None, **kwargs):
    model = compiled(replicas, options, optimizer, **kwargs)
    data = tf.data.Dataset.from_tensor_slices(arrays).batch(batch)
    return model, model.fit(data, epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks).history


def assert_same(one, two, atol=1e-6):
    for a, b in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=atol, rtol=0, err_msg=a.path)


def assert_same_figures(one, two):
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-5, err_msg=name)


def assert_differ(one, two):
    assert any(np.abs(a.numpy() - b.numpy()).max() > 1e-4 for a, b in zip(one.weights, two.weights, strict=True))


@pytest.mark.parametrize("reduction", ["mean_with_sample_weight", "sum_over_batch_size"])
def test_weights_of_examples_count_over_the_whole_batch(reduction):
    arguments = {"arrays": (X, Y, WEIGHTS), "reduction": reduction}
    stock, _ = trained(1, make=keras.Model, optimizer={"sums_gradients": True}, **arguments)
    one, history = trained(1, **arguments)
    two, of_two = trained(2, **arguments)
    assert_same(stock, one)
    assert_same(one, two)
    assert_same_figures(history, of_two)
    assert_differ(one, trained(1)[0])


def test_examples_that_do_not_divide_evenly():
    # Batches of 8, 8 and 5: 3 for the first replica, 2 for the second.
    one, history = trained(1, arrays=(X[:21], Y[:21]))
    two, of_two = trained(2, arrays=(X[:21], Y[:21]))
    assert_same(one, two)
    assert_same_figures(history, of_two)
    data = tf.data.Dataset.from_tensor_slices((X[:13], Y[:13])).batch(8)
    assert two.evaluate(data, verbose=0) == pytest.approx(one.evaluate(data, verbose=0), rel=1e-5)


@pytest.mark.parametrize("replicas", [1, slow(2)])
def test_accumulated_batches_are_one_batch(replicas):
    extras = {"l2": 1e-2, "decayed": ("kernel",), "global_clipnorm": 0.5}
    whole, _ = trained(1, optimizer=extras, batch=16)
    parts, _ = trained(replicas, {"accumulation": 4, "xla": replicas == 2}, extras, batch=4)
    assert_same(whole, parts)
    assert int(parts.optimizer.iterations.numpy()) == int(whole.optimizer.iterations.numpy()) == 4


@pytest.mark.parametrize("replicas", [1, slow(2)])
def test_a_run_goes_on_between_two_updates(replicas, tmp_path):
    whole, _ = trained(replicas, {"accumulation": 3}, epochs=2)  # Updates after 3 and 6 of 8 batches.
    first, _ = trained(replicas, {"accumulation": 3}, epochs=1)
    first.save_weights(tmp_path / "half.weights.h5")
    second = compiled(replicas, {"accumulation": 3})
    with strategy(replicas).scope():
        second.optimizer.build(second.trainable_variables)
    second.load_weights(tmp_path / "half.weights.h5")
    second.fit(tf.data.Dataset.from_tensor_slices((X, Y)).batch(8), verbose=0, shuffle=False)
    for a, b in zip(
        whole.variables + whole.optimizer.variables, second.variables + second.optimizer.variables, strict=True
    ):
        if "seed" not in a.path:
            np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


@pytest.mark.slow
def test_adaptive_clipping_in_a_step():
    options = {"agc": 0.01, "agc_excluded": ("head",)}
    one, _ = trained(1, options)
    assert_same(one, trained(2, options)[0])
    assert_differ(one, trained(1, {"agc": 0.01})[0])
    # A step by hand.
    start = compiled(1)
    with tf.GradientTape() as tape:
        loss = start.loss(Y, start(X))
    gradients = tape.gradient(loss, [v.value for v in start.trainable_variables])
    clipped = agc.clip(gradients[:2], start.trainable_variables[:2], 0.01) + gradients[2:]
    expected = [v.numpy() - 0.1 * g.numpy() for v, g in zip(start.trainable_variables, clipped, strict=True)]
    for scaling in ({}, {"loss_scale_factor": 1024.0}):
        step, _ = trained(2, options, {"momentum": 0.0, **scaling}, batch=32, epochs=1)
        for v, value in zip(step.trainable_variables, expected, strict=True):
            np.testing.assert_allclose(v.numpy(), value, atol=1e-6, err_msg=v.path)


@pytest.mark.parametrize(
    "flags", [slow({"clipnorm": 0.05}), slow({"clipvalue": 0.02}), {"clipnorm": 0.05, "loss_scale_factor": 64.0}]
)
def test_clipping_of_keras_acts_on_the_sum(flags):
    stock, _ = trained(1, make=keras.Model, optimizer={"sums_gradients": True, **flags})
    assert_same(stock, trained(2, optimizer=flags)[0])
    assert_differ(stock, trained(1)[0])


class Weights(keras.callbacks.Callback):
    """Keeps the weights after each batch, and those that are evaluated."""

    def __init__(self):
        super().__init__()
        self.trained, self.tested = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.trained.append([v.numpy() for v in self.model.trainable_variables])

    def on_test_batch_begin(self, batch, logs=None):
        self.tested.append([v.numpy() for v in self.model.trainable_variables])


def averages(series, momentum):
    """`a_1 = w_1, a_t = momentum a_(t - 1) + (1 - momentum) w_t`, the last one."""
    last = series[0]
    for weights in series[1:]:
        last = [momentum * a + (1 - momentum) * w for a, w in zip(last, weights, strict=True)]
    return last


@pytest.mark.parametrize("replicas, accumulation", [(1, 1), slow(2, 1), slow(2, 2)])
def test_moving_average_of_the_weights(replicas, accumulation):
    seen = Weights()
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    model = compiled(replicas, {"accumulation": accumulation}, {"use_ema": True, "ema_momentum": 0.8})
    callbacks = [keras.callbacks.SwapEMAWeights(), seen]
    model.fit(data, epochs=2, verbose=0, shuffle=False, validation_data=data.take(1), callbacks=callbacks)
    updates = seen.trained[accumulation - 1 :: accumulation]
    for epoch in (1, 2):  # The weights that validation saw after each.
        expected = averages(updates[: epoch * 4 // accumulation], 0.8)
        for value, average in zip(seen.tested[epoch - 1], expected, strict=True):
            np.testing.assert_allclose(value, average, atol=1e-6)
    for variable, average in zip(model.trainable_variables, expected, strict=True):  # As Keras leaves a trained model.
        np.testing.assert_allclose(variable.numpy(), average, atol=1e-6)
    for variable in model.optimizer.variables:
        values = [value.numpy() for value in strategy(replicas).experimental_local_results(variable.value)]
        np.testing.assert_array_equal(values[0], values[-1])


def test_data_that_is_distributed_already():
    def of(replicas, data, validation):
        model = compiled(replicas)
        arguments = {"epochs": 2, "steps_per_epoch": 4, "verbose": 0, "shuffle": False}
        return model, model.fit(data, validation_data=validation, **arguments).history

    def batches(context=None):
        # Of each replica; the second's follow the first's.
        size = 8 if context is None else 8 // context.num_replicas_in_sync
        return tf.data.Dataset.from_tensor_slices((X, Y, WEIGHTS)).batch(size)

    one, history = of(1, batches().repeat(), batches())
    distribute = strategy(2).distribute_datasets_from_function
    two, of_two = of(2, distribute(lambda context: batches(context).repeat()), distribute(batches))
    assert_same(one, two)
    assert_same_figures(history, of_two)


@pytest.mark.parametrize("replicas", [1, slow(2)])
def test_several_steps_at_once_are_the_same_steps(replicas):
    arrays = (X[:28], Y[:28])  # 7 batches of 4: the last execution is a shorter one.
    one, history = trained(replicas, batch=4, arrays=arrays)
    three, of_three = trained(replicas, batch=4, arrays=arrays, steps_per_execution=3)
    assert_same(one, three, atol=0)
    assert of_three == history
    data = tf.data.Dataset.from_tensor_slices(arrays).batch(4)
    assert three.evaluate(data, verbose=0) == one.evaluate(data, verbose=0)


@pytest.mark.slow
def test_several_steps_at_once_with_accumulation_and_an_endless_stream():
    def of(**kwargs):
        model = compiled(2, {"accumulation": 2}, **kwargs)
        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8).repeat()
        model.fit(data, epochs=3, steps_per_epoch=4, verbose=0, shuffle=False)
        return model

    one, two = of(), of(steps_per_execution=2)
    assert_same(one, two, atol=0)
    assert int(two.optimizer.iterations.numpy()) == 6


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"options": {"accumulation": 0}}, "accumulation=0 is not allowed. Allowed: 1, 2"),
        ({"options": {"agc": -1.0}}, "agc=-1.0 is not allowed. Allowed: a finite"),
        ({"options": {"agc_excluded": ("tail",)}}, "agc_excluded=tail: no such layer. Allowed: .*hidden, head"),
        ({"optimizer": {"gradient_accumulation_steps": 2}}, "gradient_accumulation_steps=2. Allowed: CompiledStep"),
        ({"optimizer": {"sums_gradients": True}}, "a second time. Allowed: an optimizer with sums_gradients=False"),
        ({"jit_compile": True}, "jit_compile=True. Allowed: False, with CompiledStepModel"),
        ({"run_eagerly": True}, "run_eagerly=True is not allowed"),
        ({"reduction": "sum"}, "a loss of reduction 'sum'. Allowed: sum_over_batch_size"),
    ],
)
def test_what_would_not_be_right_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        compiled(2, **arguments)


def test_a_loss_by_name_is_refused():
    inputs = keras.Input((6,))
    with pytest.raises(ValueError, match="loss='mse'. Allowed: a keras.losses.Loss"):
        CompiledStepModel(inputs, keras.layers.Dense(1)(inputs)).compile("sgd", "mse")
