"""Batch normalization by parts of a batch, against Keras' own on each part."""

import keras
import numpy as np
import pytest

import keras_wn
from keras_wn.layers import GhostBatchNormalization
from tests.helpers import to_numpy

X = np.random.default_rng(0).normal(3.0, 2.0, (12, 5, 4, 3)).astype("float32")
OPTIONS = {"gamma_initializer": "random_normal", "beta_initializer": "random_normal"}


def pair(ghost_batch, **options):
    """The layer, and Keras' own with the same weights."""
    layer = GhostBatchNormalization(ghost_batch, momentum=0.9, **options)
    own = keras.layers.BatchNormalization(momentum=0.9, **options)
    for one in (layer, own):
        one.build(X.shape)
    own.set_weights(layer.get_weights())
    return layer, own


@pytest.mark.parametrize("options", [OPTIONS, {"axis": 1}, {"scale": False}, {"center": False}])
def test_each_part_is_normalized_as_keras_normalizes_it(options):
    layer, own = pair(4, **options)
    outputs = to_numpy(layer(X, training=True))
    start, moved = own.get_weights(), []
    for part in range(3):
        own.set_weights(start)
        rows = slice(4 * part, 4 * part + 4)
        np.testing.assert_allclose(
            outputs[rows], to_numpy(own(X[rows], training=True)), rtol=1e-4, atol=1e-5
        )
        moved.append([to_numpy(v) for v in own.non_trainable_variables])
    for variable, *values in zip(layer.non_trainable_variables, *moved, strict=True):
        np.testing.assert_allclose(to_numpy(variable), np.mean(values, axis=0), rtol=1e-5)


@pytest.mark.parametrize("count", [5, 10, 11])
def test_the_last_part_has_the_rest(count):
    layer, own = pair(4, **OPTIONS)
    outputs = to_numpy(layer(X[:count], training=True))
    start, moved, sizes = own.get_weights(), [], []
    for first in range(0, count, 4):
        own.set_weights(start)
        rows = slice(first, min(first + 4, count))
        np.testing.assert_allclose(
            outputs[rows], to_numpy(own(X[rows], training=True)), rtol=1e-4, atol=1e-5
        )
        moved.append([to_numpy(v) for v in own.non_trainable_variables])
        sizes.append(rows.stop - rows.start)
    for variable, *values in zip(layer.non_trainable_variables, *moved, strict=True):
        np.testing.assert_allclose(
            to_numpy(variable), np.average(values, axis=0, weights=sizes), rtol=1e-5
        )


@pytest.mark.parametrize("size", [10, 5, 12])
def test_fit_takes_batches_that_the_parts_do_not_divide(size):
    model = keras.Sequential(
        [keras.Input(X.shape[1:]), GhostBatchNormalization(4), keras.layers.Flatten()]
    )
    model.add(keras.layers.Dense(1))
    model.compile(optimizer="sgd", loss="mse")
    model.fit(X, np.ones((12, 1)), batch_size=size, epochs=2, verbose=0)
    assert np.all(np.isfinite(model.predict(X, verbose=0)))


SERIES = np.random.default_rng(3).normal(2.0, 1.5, (10, 6, 3)).astype("float32")
MASK = np.random.default_rng(4).random((10, 6)) < 0.6
MASK[8:] = False  # A part in which nothing counts.


def test_a_mask_leaves_positions_out_of_each_part():
    layer, own = (
        one(**arguments, momentum=0.9, **OPTIONS)
        for one, arguments in (
            (GhostBatchNormalization, {"ghost_batch": 4}),
            (keras.layers.BatchNormalization, {}),
        )
    )
    for one in (layer, own):
        one.build(SERIES.shape)
    own.set_weights(layer.get_weights())
    outputs = to_numpy(layer(SERIES, training=True, mask=MASK))
    start, moved = own.get_weights(), []
    for rows in (slice(0, 4), slice(4, 8)):
        own.set_weights(start)
        expected = to_numpy(own(SERIES[rows], training=True, mask=MASK[rows]))
        np.testing.assert_allclose(outputs[rows], expected, rtol=1e-4, atol=1e-5)
        moved.append([to_numpy(v) for v in own.non_trainable_variables])
    sizes = [MASK[:4].sum(), MASK[4:8].sum()]
    for variable, *values in zip(layer.non_trainable_variables, *moved, strict=True):
        np.testing.assert_allclose(
            to_numpy(variable), np.average(values, axis=0, weights=sizes), rtol=1e-4
        )
    assert np.all(np.isfinite(outputs))


def test_a_mask_of_a_masking_layer_is_heeded():
    x = np.ones((8, 4, 2), "float32")
    x[:, 2:] = 0
    for layer in (
        GhostBatchNormalization(4, momentum=0.0),
        GhostBatchNormalization(8, momentum=0.0),
        keras_wn.layers.MeanOnlyBatchNormalization(momentum=0.0),
    ):
        model = keras.Sequential([keras.Input((4, 2)), keras.layers.Masking(), layer])
        model(x, training=True)
        np.testing.assert_allclose(to_numpy(layer.moving_mean), 1.0, rtol=1e-5)


def test_batches_of_one_part_inference_and_frozen_layers_are_those_of_keras():
    layer, own = pair(12, **OPTIONS)
    for rows, training in ((12, True), (8, True), (12, False)):
        np.testing.assert_allclose(
            to_numpy(layer(X[:rows], training=training)),
            to_numpy(own(X[:rows], training=training)),
            rtol=1e-5,
        )
    layer, own = pair(4, **OPTIONS)
    layer.trainable = own.trainable = False
    np.testing.assert_allclose(
        to_numpy(layer(X, training=True)), to_numpy(own(X, training=True)), rtol=1e-5
    )


def test_mixed_precision_takes_statistics_in_float32():
    layer = GhostBatchNormalization(4, dtype="mixed_bfloat16")
    outputs = layer(X, training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    expected = to_numpy(pair(4)[0](X, training=True))
    np.testing.assert_allclose(to_numpy(outputs).astype("float32"), expected, atol=0.03)


def test_fit_trains_and_the_file_and_the_folded_model_give_the_same(tmp_path):
    model = keras.Sequential(
        [
            keras.Input(X.shape[1:]),
            keras_wn.layers.WNConv2D(4, 3, use_bias=False),
            GhostBatchNormalization(4),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer="sgd", loss="mse")
    model.fit(X, np.ones((12, 1)), batch_size=12, epochs=2, verbose=0)
    expected = model.predict(X, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[1].ghost_batch == 4
    folded = keras_wn.fold(model)
    assert type(folded.layers[1]) is keras.layers.BatchNormalization
    whole = keras_wn.fold(model, fold_bn=True)
    assert [type(layer).__name__ for layer in whole.layers] == ["Conv2D", "Flatten", "Dense"]
    for one in (loaded, folded, whole):
        np.testing.assert_allclose(one.predict(X, verbose=0), expected, rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_refused():
    for bad in (1, True, 2.0):
        with pytest.raises(ValueError, match=f"ghost_batch={bad} is not allowed. Allowed: an int"):
            GhostBatchNormalization(bad)
    with pytest.raises(ValueError, match="renorm=True is not allowed"):
        GhostBatchNormalization(4, renorm=True)
    with pytest.raises(ValueError, match=r"A mask of shape \(12,\) is not allowed"):
        GhostBatchNormalization(5)(X, training=True, mask=np.ones(12, "bool"))
