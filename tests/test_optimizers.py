"""Wrappers of optimizers: their equations, `fit` on every backend, and files that go on."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_wn
from keras_wn.optimizers import (
    AdaptiveGradientClipping,
    CenteredGradients,
    ProjectedKernels,
    clip_adaptively,
    innermost,
)
from tests.helpers import filter_norms, to_numpy

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(32, 6, 6, 3)).astype("float32")
LABELS = RNG.integers(0, 4, 32)
WRAPPERS = [AdaptiveGradientClipping, CenteredGradients, ProjectedKernels]


def tensor(array):
    return ops.convert_to_tensor(array)


def by_hand(gradient, weight, factor, eps=1e-3):
    """Equation 3 unit by unit."""
    clipped = gradient.copy()
    for i in range(gradient.shape[-1]):
        w, g = max(np.linalg.norm(weight[..., i]), eps), np.linalg.norm(gradient[..., i])
        if g / w > factor:
            clipped[..., i] *= factor * w / g
    return clipped


def clipped(gradient, weight, factor):
    (found,) = clip_adaptively([tensor(gradient)], [tensor(weight)], factor)
    return to_numpy(found)


@pytest.mark.parametrize("shape", [(5, 4), (3, 3, 2, 4)])
def test_clipping_is_the_equation_on_kernels(shape):
    gradient, weight = (RNG.normal(size=shape).astype("float32") for _ in range(2))
    gradient[..., 0] *= 1e-4  # A unit that is left as it is.
    weight[..., 1] = 0.0  # `eps` alone lets this unit learn.
    found = clipped(gradient, weight, 0.1)
    np.testing.assert_allclose(found, by_hand(gradient, weight, 0.1), rtol=1e-5)
    np.testing.assert_array_equal(found[..., 0], gradient[..., 0])
    assert np.linalg.norm(found[..., 1]) == pytest.approx(0.1 * 1e-3, rel=1e-5)


@pytest.mark.parametrize("shape", [(6,), (1, 6), (6, 1)])
def test_a_vector_is_one_unit(shape):
    gradient = (RNG.normal(size=shape) + 10).astype("float32")
    weight = RNG.normal(size=shape).astype("float32")
    expected = gradient * 0.1 * np.linalg.norm(weight) / np.linalg.norm(gradient)
    np.testing.assert_allclose(clipped(gradient, weight, 0.1), expected, rtol=1e-5)


def test_a_large_factor_clips_nothing():
    gradient, weight = (RNG.normal(size=(5, 4)).astype("float32") for _ in range(2))
    np.testing.assert_array_equal(clipped(gradient, weight, 1e6), gradient)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_what_is_not_finite_stays_so(bad):
    gradients = [tensor(np.array([[1.0], [bad]], "float32")), None]
    found, none = clip_adaptively(gradients, [ops.ones((2, 1)), ops.ones(1)], 0.1)
    assert not np.all(np.isfinite(to_numpy(found))) and none is None


def test_a_variable_without_axes_is_left_alone():
    gradient = tensor(5.0)
    assert clip_adaptively([gradient], [tensor(0.0)], 0.1)[0] is gradient


@pytest.mark.parametrize(
    "values, message", [((0.0, 1e-3), "factor=0.0 is not"), ((0.1, np.nan), "eps=nan is not")]
)
def test_values_that_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        clip_adaptively([], [], *values)
    with pytest.raises(ValueError, match=message):
        AdaptiveGradientClipping(keras.optimizers.SGD(), *values)


def network(center=False, kernel_initializer="he_normal", dtype=None):
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras_wn.layers.WNConv2D(
                8,
                3,
                activation="relu",
                center=center,
                kernel_initializer=kernel_initializer,
                name="conv",
                dtype=dtype,
            ),
            keras.layers.GlobalAveragePooling2D(dtype=dtype),
            keras.layers.Dense(4, name="logits", dtype=dtype),
        ]
    )


def fitted(model, optimizer, epochs=2, **options):
    model.compile(
        optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), **options
    )
    model.fit(IMAGES, LABELS, batch_size=16, epochs=epochs, shuffle=False, verbose=0)
    return [to_numpy(v) for v in model.trainable_variables]


def assert_close(found, expected, **tolerance):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, **(tolerance or {"rtol": 1e-5, "atol": 1e-6}))


def test_a_step_of_fit_is_that_of_the_clipped_gradient():
    """Against steps by hand, from the gradients that plain SGD with rate 1 takes."""
    start = network()
    before = [to_numpy(v) for v in start.trainable_variables]
    images, labels = IMAGES[:16], LABELS[:16]

    def step(optimizer):
        model = network()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss)
        model.train_on_batch(images, labels)
        return [to_numpy(v) for v in model.trainable_variables]

    gradients = [b - a for a, b in zip(step(keras.optimizers.SGD(1.0)), before, strict=True)]
    optimizer = AdaptiveGradientClipping(keras.optimizers.SGD(1.0), 0.01, exclude=["logits"])
    by_clipping = clip_adaptively([tensor(g) for g in gradients], [tensor(b) for b in before], 0.01)
    names = [v.path for v in start.trainable_variables]
    expected = [
        b - (g if "logits" in name else to_numpy(c))
        for name, b, g, c in zip(names, before, gradients, by_clipping, strict=True)
    ]
    assert_close(step(optimizer), expected)


@pytest.mark.parametrize("make", [keras.optimizers.SGD, keras.optimizers.AdamW])
def test_a_factor_that_clips_nothing_trains_as_the_inner_optimizer(make):
    plain = fitted(network(), make(0.01))
    assert_close(fitted(network(), AdaptiveGradientClipping(make(0.01), 1e6)), plain)


class Centered:
    """Kernels of two models in float64, one with the mean in its formula, one with the wrapper."""

    def __init__(self, make, decay=0.0):
        self.decay = decay
        self.v = RNG.normal(size=(3, 3, 2, 4))
        start = self.v - self.v.mean(axis=(0, 1, 2))
        self.formula, self.free = (
            keras.Variable(v, dtype="float64", name="kernel") for v in (self.v, start)
        )
        self.optimizers = make(), CenteredGradients(make())

    def step(self, gradient):
        """A step of both, with a gradient that depends on the centered kernel."""
        for variable, optimizer in zip((self.formula, self.free), self.optimizers, strict=True):
            v = to_numpy(variable)
            g = gradient(v - v.mean(axis=(0, 1, 2)))
            if variable is self.formula:
                # The gradient of a function of the centered kernel.
                g = g - g.mean(axis=(0, 1, 2))
            g = ops.convert_to_tensor(g + self.decay * v, "float64")
            optimizer.apply([g], [variable])

    def difference(self):
        v = to_numpy(self.formula)
        return np.abs(v - v.mean(axis=(0, 1, 2)) - to_numpy(self.free)).max()


def gradients_of_a_quadratic(count):
    for number in range(count):
        matrix = np.random.default_rng(number).normal(size=(72, 72)) / 10
        yield lambda v, m=matrix: (m @ m.T @ v.reshape(-1) + 0.1).reshape(v.shape)


in_float64 = pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX has no float64 by default."
)


@in_float64
def test_centered_gradients_are_the_centered_formula_for_sgd_with_momentum_and_decay():
    pair = Centered(lambda: keras.optimizers.SGD(0.05, momentum=0.9), decay=1e-2)
    for gradient in gradients_of_a_quadratic(500):
        pair.step(gradient)
    assert pair.difference() < 1e-12
    assert np.abs(to_numpy(pair.free).sum(axis=(0, 1, 2))).max() < 1e-12


@in_float64
def test_centered_gradients_are_not_the_centered_formula_for_adam():
    pair = Centered(lambda: keras.optimizers.Adam(0.01))
    for gradient in gradients_of_a_quadratic(50):
        pair.step(gradient)
    assert np.abs(to_numpy(pair.free).sum(axis=(0, 1, 2))).max() > 1e-2


def test_a_centered_layer_trains_alike_by_its_formula_and_by_its_gradients():
    start = keras_wn.initializers.CenteredFilters("he_normal")
    by_formula = fitted(network(True, start), keras.optimizers.SGD(0.1, momentum=0.9), 5)
    optimizer = CenteredGradients(keras.optimizers.SGD(0.1, momentum=0.9), ["conv/kernel"])
    by_gradients = fitted(network(False, start), optimizer, 5)
    assert_close(by_gradients, by_formula, rtol=1e-3, atol=1e-4)


def test_projected_kernels_have_their_norm_and_others_do_not():
    model = network()
    fitted(model, ProjectedKernels(keras.optimizers.SGD(0.1), 3.0, ["conv"]))
    np.testing.assert_allclose(filter_norms(model.get_layer("conv").v), 3.0, rtol=1e-5)
    assert not np.allclose(filter_norms(model.get_layer("logits").kernel), 3.0, rtol=1e-2)


def everything(inner):
    return ProjectedKernels(
        CenteredGradients(AdaptiveGradientClipping(inner, 0.1), ["conv"]), 1.0, ["conv/kernel"]
    )


def inner(**options):
    return keras.optimizers.SGD(0.05, momentum=0.9, **options)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_saved_model_goes_on_as_if_it_had_not_been_saved(precision, tmp_path):
    keras.config.set_dtype_policy(precision)
    whole = fitted(network(), everything(inner()), 4)
    model = network()
    fitted(model, everything(inner()), 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    if precision == "mixed_float16":
        assert isinstance(loaded.optimizer, keras.optimizers.LossScaleOptimizer)
    assert innermost(loaded.optimizer).momentum == 0.9
    loaded.fit(IMAGES, LABELS, batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert_close([to_numpy(v) for v in loaded.trainable_variables], whole, rtol=0, atol=1e-6)


def test_an_overflow_skips_the_step():
    keras.config.set_dtype_policy("mixed_float16")
    model = network()
    optimizer = keras.optimizers.LossScaleOptimizer(everything(inner()))
    optimizer.build(model.trainable_variables)
    before = [to_numpy(v) for v in model.trainable_variables]
    infinite = [ops.full(v.shape, np.inf) for v in model.trainable_variables]
    if keras.backend.backend() == "jax":
        state = ([v.value for v in vs] for vs in (optimizer.variables, model.trainable_variables))
        optimizer_state, trainable = state
        found, _ = optimizer.stateless_apply(optimizer_state, infinite, trainable)
    else:
        optimizer.apply(infinite, model.trainable_variables)
        found = model.trainable_variables
    assert_close([to_numpy(v) for v in found], before, rtol=0)


def test_learning_rates_are_those_of_the_inner_optimizer():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.1, 0.0])
    model = network()
    fitted(model, everything(keras.optimizers.SGD(schedule)), 1)
    before = [to_numpy(v) for v in model.trainable_variables]
    fitted_on = model.fit(IMAGES, LABELS, batch_size=16, epochs=1, shuffle=False, verbose=0)
    assert fitted_on and int(to_numpy(model.optimizer.iterations)) == 4
    assert_close([to_numpy(v) for v in model.trainable_variables], before)
    optimizer = everything(inner())
    optimizer.learning_rate = 0.5
    assert float(to_numpy(innermost(optimizer).learning_rate)) == 0.5
    callback = keras.callbacks.LearningRateScheduler(lambda epoch: 0.25)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(IMAGES, LABELS, verbose=0, callbacks=[callback])
    assert float(to_numpy(optimizer.learning_rate)) == 0.25


def test_averages_and_decay_are_those_of_the_inner_optimizer():
    adam = keras.optimizers.AdamW(0.01, weight_decay=0.1, use_ema=True, ema_momentum=0.5)
    optimizer = everything(adam)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model = network()
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(IMAGES, LABELS, verbose=0, callbacks=[swap])
    assert np.all(np.isfinite(to_numpy(adam._model_variables_moving_average[0])))
    assert [v.path for v in optimizer.variables] == [v.path for v in adam.variables]


def test_frozen_variables_are_left_alone():
    model = network()
    model.get_layer("conv").trainable = False
    before = to_numpy(model.get_layer("conv").v)
    fitted(model, AdaptiveGradientClipping(inner(), 0.1))
    np.testing.assert_array_equal(to_numpy(model.get_layer("conv").v), before)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_is_no_optimizer_or_no_variable_is_refused(wrapper):
    with pytest.raises(ValueError, match="nonsense"):
        wrapper("nonsense")
    names = "exclude" if wrapper is AdaptiveGradientClipping else "variables"
    optimizer = wrapper(inner(), **{names: ["conv9"]})
    message = f"{wrapper.__name__}: {names}='conv9': no such variable or layer. Allowed: sequential"
    with pytest.raises(ValueError, match=message):
        optimizer.build(network().trainable_variables)


def test_bad_values_are_refused_in_one_line():
    with pytest.raises(ValueError, match="norm=0.0 is not allowed. Allowed: a finite number abo"):
        ProjectedKernels(inner(), 0.0)
    accumulating = inner(gradient_accumulation_steps=2)
    with pytest.raises(ValueError, match="gradient_accumulation_steps=2 is not allowed"):
        AdaptiveGradientClipping(CenteredGradients(accumulating))
    kernel = keras.Variable(np.ones((1, 3)), name="kernel")
    with pytest.raises(ValueError, match=r"'kernel' of shape \(1, 3\) is not allowed, because a"):
        CenteredGradients(inner()).build([kernel])


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="Of tf.distribute.")
def test_replicas_clip_the_gradient_of_the_whole_batch():
    import tensorflow as tf

    whole = fitted(network(), everything(inner()))
    # Other tests of the process have strategies whose collectives TensorFlow would mix with these.
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    with strategy.scope():
        model = network()
        found = fitted(model, everything(inner()))
    assert_close(found, whole, rtol=1e-4, atol=1e-5)
