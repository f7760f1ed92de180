"""The training step: two devices do what one does, and every flag what its equation says."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_wn.optimizers import clip_adaptively
from keras_wn.training.optimizer import SGDL2
from keras_wn.training.run import averaged_weights
from tests.parameters import slow
from tests.training import small_step
from tests.training.small_step import DECAY, IMAGES, LABELS, RATE, ROWS, make, train, values

ROOT = pathlib.Path(__file__).parents[2]


@functools.cache
def trained(strategy="none", per_call=1, **flags):
    step = make(strategy, **flags)
    labels = small_step.labels_of(flags.get("batch_size", ROWS))
    return step, train(step, per_call=per_call, labels=labels)


def assert_same(one, two, atol=1e-6):
    one, two = (values(step) if not isinstance(step, dict) else step for step in (one, two))
    assert len(one) == len(two)
    for (name, a), b in zip(one.items(), two.values(), strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=0, err_msg=name)


def assert_differ(one, two):
    pairs = zip(one.model.weights, two.model.weights, strict=True)
    assert any(np.abs(a.numpy() - b.numpy()).max() > 1e-4 for a, b in pairs)


@pytest.mark.parametrize("norm", ["none", "wn", "normprop", "wn_trelu", slow("wn_robust")])
def test_two_replicas_are_one(norm):
    one, sums = trained(norm=norm)
    two, of_two = trained("mirrored", norm=norm)
    assert_same(one, two)
    assert sums[4:, 0].sum() < sums[:4, 0].sum()
    np.testing.assert_allclose(of_two, sums, rtol=1e-5)


@pytest.mark.slow
def test_two_replicas_under_xla_are_one_without():
    assert_same(trained()[0], trained("mirrored", xla="on")[0])


def test_one_replica_is_stock_keras():
    ours, sums = trained(norm="bn")
    start = make(norm="bn")
    stock = start.model
    stock.compile(
        optimizer=SGDL2(DECAY, ("kernel",), learning_rate=RATE, momentum=0.9),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS))
    history = stock.fit(data, epochs=2, verbose=0, shuffle=False).history
    for a, b in zip(stock.weights, ours.model.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6, rtol=0, err_msg=a.path)
    by_epoch = sums.reshape(2, 4, 4).sum(axis=1)
    np.testing.assert_allclose(by_epoch[:, 0] / by_epoch[:, 3], history["loss"], rtol=1e-5)
    np.testing.assert_allclose(by_epoch[:, 1] / by_epoch[:, 3], history["accuracy"], rtol=1e-6)


class OfWords(keras.layers.Layer):
    """XLA has no strings."""

    def call(self, x):
        # Of the values: TensorFlow computes what depends on shapes alone before XLA sees it.
        return x * tf.cast(tf.strings.length(tf.strings.as_string(tf.stop_gradient(x))), "float32")

    def compute_output_shape(self, input_shape):
        return input_shape


def test_xla_really_compiles_the_step(monkeypatch):
    plain = small_step.network

    def network(*arguments, **options):
        model = plain(*arguments, **options)
        return keras.Model(model.input, OfWords()(model.output))

    monkeypatch.setattr(small_step, "network", network)
    train(make(xla="off"), epochs=1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="AsString"):
        train(make(xla="on"), epochs=1)


def test_clipping_acts_on_the_sum_of_the_replicas():
    clipped, _ = trained(clip_norm=0.1)
    assert_same(clipped, trained("mirrored", clip_norm=0.1)[0])
    assert_differ(clipped, trained()[0])


@pytest.mark.parametrize("norm", ["bn", slow("wn_mobn"), slow("bwn")])
def test_statistics_of_batch_norm_are_averaged_over_the_replicas(norm):
    step, _ = trained("mirrored", norm=norm)
    statistics = [v for v in step.model.non_trainable_variables if v.name.startswith("moving")]
    assert statistics
    for variable in statistics:
        first, second = (replica.numpy() for replica in variable.value.values)
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("accumulation, updates", [(1, 3), slow(2, 1)])
def test_infinity_on_one_replica_alone_skips_the_step_on_all(accumulation, updates):
    step = make("mirrored", norm="bn", precision="mixed_float16", accumulation=accumulation)
    step.optimizer.dynamic_scale.assign(1024.0)
    images = IMAGES.copy()
    images[0, 4:] = (
        6e4  # The second replica's rows of the first batch. Its loss is not finite in float16.
    )
    train(step, images=images, epochs=1)
    assert all(np.all(np.isfinite(value)) for value in values(step).values())
    assert int(step.optimizer.inner_optimizer.iterations.numpy()) == updates
    assert float(step.optimizer.dynamic_scale.numpy()) == 512.0


def test_rows_that_fill_a_batch_up_count_for_nothing():
    # Of eight rows the last three have no weight: all rows of the second device but one.
    weights = np.array([1, 1, 1, 1, 1, 0, 0, 0], "float32")
    (one, _), (two, _) = trained(), trained("mirrored")
    short = np.asarray(one.evaluate(IMAGES[0, :5], LABELS[0, :5]))
    for step in (one, two):
        np.testing.assert_allclose(step.evaluate(IMAGES[0], LABELS[0], weights), short, rtol=1e-5)
    assert short[-1] == 5


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_gradient_is_that_of_the_batch_whatever_images_join_its_statistics(smoothing):
    half = ROWS // 2
    step = make(
        norm="bn", batch_size=half, statistics_batch=ROWS, label_smoothing=smoothing, momentum=0.0
    )
    variables = step.model.trainable_variables
    with tf.GradientTape() as tape:
        logits = step.model(IMAGES[0], training=True)[:half]
        smoothed = LABELS[0, :half] * (1 - smoothing) + smoothing / LABELS.shape[-1]
        loss = -tf.reduce_mean(tf.reduce_sum(smoothed * tf.nn.log_softmax(logits), axis=1))
    expected = tape.gradient(loss, [v.value for v in variables])
    before = [v.numpy() for v in variables]
    step.load()
    labels = small_step.labels_of(half)[:1]
    sums = np.asarray(step.train(IMAGES[:1], labels, np.ones(1, "float32"), 0.0))
    step.store()
    for variable, start, gradient in zip(variables, before, expected, strict=True):
        np.testing.assert_allclose(
            start - variable.numpy(), gradient.numpy(), atol=1e-6, rtol=1e-5, err_msg=variable.path
        )
    np.testing.assert_allclose(sums[[0, 3]], [half * float(loss), half], rtol=1e-6)


@pytest.mark.parametrize("strategy", ["none", slow("mirrored")])
def test_accumulated_batches_are_one_batch(strategy):
    flags = {"clip_norm": 0.5, "xla": "on" if strategy == "mirrored" else "off"}
    whole = make(**flags, batch_size=32)
    whole.load()
    for _ in range(2):
        batch = (array.reshape(1, -1, *array.shape[2:]) for array in (IMAGES, LABELS))
        whole.train(*batch, np.full(1, RATE, "float32"), DECAY)
    parts, _ = trained(strategy, accumulation=4, **flags)
    for a, b in zip(whole.model.weights, parts.model.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6, rtol=0, err_msg=a.path)
    assert int(parts.optimizer.iterations.numpy()) == int(whole.optimizer.iterations.numpy()) == 2


@pytest.mark.parametrize("strategy", ["none", slow("mirrored")])
def test_a_run_goes_on_between_two_updates(strategy):
    whole, _ = trained(strategy, accumulation=3, dropout=0.3)  # Updates after 3 and 6 of 8 batches.
    first = make(strategy, accumulation=3, dropout=0.3)
    train(first, epochs=1)
    second = make(strategy, accumulation=3, dropout=0.3)
    second.assign(list(values(first).values()))
    train(second, epochs=1)
    assert_same(whole, second, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_adaptive_clipping_in_a_step(precision):
    start = make()
    with tf.GradientTape() as tape:
        loss = start.loss(LABELS[0], start.model(IMAGES[0], training=True))
    variables = start.model.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables])
    clipped = clip_adaptively(gradients, variables, 0.01)
    # The classifier's are left alone.
    used = [
        g if v.path.startswith("logits") else c
        for g, c, v in zip(gradients, clipped, variables, strict=True)
    ]
    expected = [v.numpy() - RATE * g.numpy() for v, g in zip(variables, used, strict=True)]
    for strategy in ("none", "mirrored"):
        step = make(strategy, agc=0.01, momentum=0.0, precision=precision)
        step.train(IMAGES[:1], LABELS[:1], np.full(1, RATE, "float32"), 0.0)
        for v, value in zip(step.model.trainable_variables, expected, strict=True):
            atol = 1e-6 if precision == "float32" else 1e-3
            np.testing.assert_allclose(v.numpy(), value, atol=atol, err_msg=v.path)


@pytest.mark.parametrize(
    "strategy, accumulation", [("none", 1), slow("mirrored", 1), slow("mirrored", 2)]
)
def test_moving_average_of_the_weights(strategy, accumulation):
    step = make(strategy, ema=0.8, accumulation=accumulation)
    average, rates = None, np.full(1, RATE, "float32")
    for i in range(8):
        step.train(IMAGES[i % 4][None], LABELS[i % 4][None], rates, DECAY)
        if (i + 1) % accumulation == 0:
            weights = [v.numpy() for v in step.model.trainable_variables]
            average = (
                weights
                if average is None
                else [0.8 * a + 0.2 * w for a, w in zip(average, weights, strict=True)]
            )
    with averaged_weights(step.model, step.optimizer):
        for variable, value in zip(step.model.trainable_variables, average, strict=True):
            np.testing.assert_allclose(variable.numpy(), value, atol=1e-6)
    for variable, value in zip(step.model.trainable_variables, weights, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    for variable in step.optimizer.variables:
        replicas = step._strategy.experimental_local_results(variable.value)
        np.testing.assert_array_equal(replicas[0].numpy(), replicas[-1].numpy())


def test_before_the_first_update_there_is_no_average():
    step = make(ema=0.8)
    before = values(step)
    with averaged_weights(step.model, step.optimizer):
        assert_same(before, step, atol=0)


@pytest.mark.parametrize(
    "strategy, accumulation", [("none", 1), slow("mirrored", 1), slow("mirrored", 2)]
)
def test_several_steps_at_once_are_the_same_steps(strategy, accumulation):
    flags = {"dropout": 0.3, "accumulation": accumulation}
    one, sums = trained(strategy, **flags)
    four, of_four = trained(strategy, per_call=4, **flags)
    assert_same(one, four, atol=0)
    np.testing.assert_allclose(of_four, sums.reshape(2, 4, 4).sum(axis=1), rtol=1e-6)


def on_jax(out, devices, cases):
    """The variables and the sums of steps on JAX, in a process for all cases."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": str(ROOT),
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    # The compiler's work takes longer than these few steps.
    environment["XLA_FLAGS"] = (
        f"--xla_backend_optimization_level=0 --xla_force_host_platform_device_count={devices}"
    )
    strategy = "data_parallel" if devices == 2 else "none"
    command = [sys.executable, small_step.__file__, str(out), strategy, *map(json.dumps, cases)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return [dict(np.load(out / f"0-{number}.npz")) for number in range(len(cases))]


EVERY_FLAG = {"norm": "wn", "accumulation": 2, "agc": 0.02, "clip_norm": 0.3, "ema": 0.8}
CASES = (
    {"norm": "bn"},
    EVERY_FLAG,
    {"norm": "normprop", "label_smoothing": 0.1, "accumulation": 3},
)
# One device alone takes images for their statistics.
LARGER = {"norm": "bn", "batch_size": 4, "statistics_batch": 8, "label_smoothing": 0.1}


@pytest.mark.slow
@pytest.mark.parametrize("devices, cases", [(1, (*CASES, LARGER)), (2, CASES)])
def test_the_step_on_jax_is_that_on_tensorflow(tmp_path, devices, cases):
    for flags, found in zip(cases, on_jax(tmp_path, devices, cases), strict=True):
        expected, sums = trained(**flags)
        np.testing.assert_allclose(found.pop("sums"), sums, rtol=1e-4, err_msg=str(flags))
        np.testing.assert_allclose(
            found.pop("evaluated"), expected.evaluate(IMAGES[0], LABELS[0]), rtol=1e-4
        )
        weights = {name.split(" ")[1]: value for name, value in found.items()}
        for variable in expected.model.weights:
            np.testing.assert_allclose(
                weights[variable.path], variable.numpy(), atol=2e-6, err_msg=f"{flags} {variable}"
            )


@pytest.mark.slow
def test_float16_on_jax_skips_what_is_not_finite(tmp_path):
    flags = {"norm": "bn", "precision": "mixed_float16", "accumulation": 2, "agc": 0.1}
    [found] = on_jax(tmp_path, 1, [flags])
    assert all(np.all(np.isfinite(value)) for value in found.values())
    scale = next(value for name, value in found.items() if "dynamic_scale" in name)
    assert scale <= 2**15
