"""`keras.RematScope`: a recomputed layer has the gradients of a layer that is kept."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_wn import layers
from keras_wn.layers import WeightNormalization
from tests.helpers import gradients, randomize, to_numpy
from tests.parameters import slow

RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(3, 6, 4)).astype("float32")
MASKED = SERIES * (np.arange(6) < np.array([2, 4, 6])[:, None])[..., None]
SCOPES = {
    "full": {"mode": "full"},
    "larger_than": {"mode": "larger_than", "output_size_threshold": 2},
    "list_of_layers": {"mode": "list_of_layers", "layer_names": ["inner", "outer"]},
    "activations": {"mode": "activations"},
}


def mlp():
    return keras.Sequential(
        [kl.Dense(5, activation="gelu"), kl.Dropout(0.5, seed=3), kl.Dense(3, name="inner")],
        name="outer",
    )


LAYERS = {
    "dense": lambda: WeightNormalization(kl.Dense(3, activation="tanh", name="inner")),
    "lstm": lambda: WeightNormalization(kl.LSTM(3, return_sequences=True, name="inner")),
    "model": lambda: WeightNormalization(mlp()),
    "subclass": lambda: layers.WNDense(3, activation="tanh", name="inner"),
    "log_gain": lambda: layers.WNConv1D(3, 2, log_gain=True, name="inner"),
    "losses": lambda: WeightNormalization(kl.Dense(3, activity_regularizer="l2", name="inner")),
}


def gradients_of(make, scope, x, dtype="float32", **call):
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(dtype)
    if scope is None:
        layer = make()
        layer(x)
    else:
        with keras.RematScope(**scope):
            layer = make()
            layer(x)
    randomize(layer)  # g is not ||v||.
    called = _Called(layer, call)
    shape = to_numpy(layer(x)).shape
    for variable in layer.variables:
        if variable.name.endswith("seed_generator_state"):
            variable.assign([3, 0])  # The same mask of dropout each time.
    found = gradients(called, x, np.cos(np.arange(np.prod(shape), dtype="float32")).reshape(shape))
    return found


class _Called:
    """A layer with arguments of its call, as `gradients` takes it."""

    def __init__(self, layer, kwargs):
        self._layer, self._kwargs = layer, kwargs

    def __getattr__(self, name):
        return getattr(self._layer, name)

    def __call__(self, x):
        return self._layer(x, **self._kwargs)

    def stateless_call(self, trainable, non_trainable, x):
        return self._layer.stateless_call(trainable, non_trainable, x, **self._kwargs)


@pytest.mark.parametrize(
    "name, scope",
    [
        *((name, "full") for name in LAYERS),
        *(("dense", scope) for scope in SCOPES if scope != "full"),
    ],
)
def test_gradients_are_those_without(name, scope):
    if (keras.backend.backend(), scope) == ("jax", "larger_than"):
        pytest.skip("Keras 3.15 raises for a plain layer as well")
    call = {"training": True} if name == "model" else {}
    expected = gradients_of(LAYERS[name], None, SERIES, **call)
    found = gradients_of(LAYERS[name], SCOPES[scope], SERIES, **call)
    assert found.keys() == expected.keys()
    for variable, gradient in expected.items():
        assert np.any(gradient != 0)
        np.testing.assert_allclose(
            found[variable], gradient, rtol=1e-4, atol=1e-5, err_msg=variable
        )


@pytest.mark.parametrize("name", ["dense", "lstm", "subclass"])
def test_gradients_in_mixed_precision(name):
    expected = gradients_of(LAYERS[name], None, SERIES, "mixed_bfloat16")
    found = gradients_of(LAYERS[name], SCOPES["full"], SERIES, "mixed_bfloat16")
    for variable, gradient in expected.items():
        np.testing.assert_allclose(
            found[variable].astype("float32"), gradient.astype("float32"), rtol=2e-2, atol=2e-2
        )


def test_layer_made_in_the_scope_and_wrapped_outside():
    with keras.RematScope():
        inner = kl.Dense(3, name="inner")
    layer = WeightNormalization(inner)
    layer(SERIES)
    plain = WeightNormalization(kl.Dense(3))
    plain(SERIES)
    randomize(layer)
    randomize(plain)
    cotangent = np.ones((3, 6, 3), "float32")
    found, expected = gradients(layer, SERIES, cotangent), gradients(plain, SERIES, cotangent)
    for variable, gradient in expected.items():
        np.testing.assert_allclose(
            found[variable], gradient, rtol=1e-4, atol=1e-5, err_msg=variable
        )


# XLA takes a quarter of a minute for it on TensorFlow.
COMPILED = slow(True) if keras.backend.backend() == "tensorflow" else True


@pytest.mark.parametrize("jit_compile", [False, COMPILED])
def test_fit_is_that_without(jit_compile):
    if jit_compile == {"jax": False, "torch": True}.get(keras.backend.backend()):
        pytest.skip(
            "JAX takes half a minute for this without a compiler, and PyTorch minutes with one"
        )

    def trained(mode):
        keras.utils.set_random_seed(2)
        # The layers alone: Keras 3.15 cannot recompute a whole model with masks, dropout or moving
        # statistics.
        with keras.RematScope(mode=mode):
            made = [
                WeightNormalization(kl.LSTM(5, dropout=0.3, seed=4)),
                WeightNormalization(kl.Dense(4, activation="tanh", activity_regularizer="l2")),
                WeightNormalization(keras.Sequential([kl.Dense(3), kl.BatchNormalization()])),
                layers.WNDense(2),
            ]
        model = keras.Sequential([keras.Input((6, 4)), kl.Masking(), *made])
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
        history = model.fit(MASKED, np.ones((3, 2)), epochs=4, verbose=0, batch_size=3)
        return history.history["loss"], model.get_weights()

    expected_loss, expected = trained(None)
    loss, found = trained("full")
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-4)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
