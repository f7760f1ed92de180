"""The start of g, and gains that are frozen: through training, clones, files, `fold` and `weight_norm`."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn.layers import WeightNormalization, WNConv2D, WNDense, WNSeparableConv2D
from tests.helpers import to_numpy
from tests.layers.cases import CASES, IMAGES, VECTORS, by_kernel

WRAPPED = {
    "wrapped_dense": (lambda **kwargs: WeightNormalization(kl.Dense(3), **kwargs), VECTORS),
    "wrapped_lstm": (
        lambda **kwargs: WeightNormalization(kl.LSTM(3), **kwargs),
        np.ones((2, 3, 4), "float32"),
    ),
}
MAKERS = {
    **{n: (lambda c=c, a=a, **kwargs: c(**a, **kwargs), x) for n, (c, a, x) in CASES.items()},
    **WRAPPED,
}


def gains_of(layer):
    return layer.gains if isinstance(layer, WeightNormalization) else by_kernel(layer, layer.g)


@pytest.mark.parametrize("name", MAKERS)
def test_gain_starts_where_it_is_told_and_stays_there(name):
    make, x = MAKERS[name]
    layer = make(gain_initializer=keras.initializers.Constant(2.0), trainable_gain=False)
    layer(x)
    for value in gains_of(layer).values():
        np.testing.assert_array_equal(to_numpy(value), 2.0)
    assert not any(v.name.endswith("_g") for v in layer.trainable_variables)
    # As with every variable that was made so, a layer that is frozen and thawed does not train it.
    layer.trainable = False
    layer.trainable = True
    assert not any(v.name.endswith("_g") for v in layer.trainable_variables)
    copy = type(layer).from_config(layer.get_config())
    copy(x)
    assert len(copy.trainable_variables) == len(layer.trainable_variables)
    np.testing.assert_array_equal(to_numpy(next(iter(gains_of(copy).values()))), 2.0)


def model_with_frozen_gain():
    """g of a dense layer and of one of two kernels frozen after they were made; the rest is trained."""
    model = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            WNSeparableConv2D(3, 3, name="separable"),
            WeightNormalization(kl.Conv2D(2, 2), name="wrapped"),
            kl.Flatten(),
            WNDense(2, name="dense"),
        ]
    )
    model.get_layer("separable").g["depthwise_kernel"].trainable = False
    model.get_layer("wrapped").g.trainable = False
    model.get_layer("dense").g.trainable = False
    return model


def trained(model):
    return {(layer.name, v.name) for layer in model.layers for v in layer.trainable_variables if "seed" not in v.name}


def by_name(model):
    return {(layer.name, v.name): to_numpy(v) for layer in model.layers for v in layer.weights}


def test_frozen_gain_stays_frozen_through_clones_and_files(tmp_path):
    model = model_with_frozen_gain()
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    model.fit(IMAGES, np.ones((2, 2)), verbose=0)
    expected = trained(model)
    assert ("separable", "pointwise_kernel_g") in expected
    assert not {("separable", "depthwise_kernel_g"), ("wrapped", "kernel_g"), ("dense", "kernel_g")} & expected
    model.save(tmp_path / "model.keras")
    copies = {
        "clone": keras.models.clone_model(model),
        "file": keras.models.load_model(tmp_path / "model.keras"),
        "json": keras.models.model_from_json(model.to_json()),
        "weight_norm": keras_wn.weight_norm(
            keras.Sequential([keras.Input((6, 6, 4)), *model.layers, kl.Dense(1, name="extra")])
        ),
    }
    for name, copy in copies.items():
        found = {entry for entry in trained(copy) if entry[0] in {layer.name for layer in model.layers}}
        assert found == expected, name
    np.testing.assert_array_equal(to_numpy(copies["file"](IMAGES)), to_numpy(model(IMAGES)))
    copies["file"].fit(IMAGES, np.ones((2, 2)), verbose=0)
    model.fit(IMAGES, np.ones((2, 2)), verbose=0)
    expected, found = by_name(model), by_name(copies["file"])
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=str(name))


def test_fold_and_weight_norm_leave_frozen_what_was_frozen():
    model = keras.Sequential([keras.Input((4,)), kl.Dense(3, name="a"), WNDense(3, name="b"), WNDense(2, name="c")])
    model.get_layer("a").kernel.trainable = False
    model.get_layer("b").g.trainable = False
    model.get_layer("c").v.trainable = False
    model.get_layer("c").g.trainable = False
    normalized = keras_wn.weight_norm(model)
    assert trained(normalized) == {("a", "bias"), ("b", "kernel"), ("b", "bias"), ("c", "bias")}
    folded = keras_wn.fold(normalized)
    assert trained(folded) == {("a", "bias"), ("b", "kernel"), ("b", "bias"), ("c", "bias")}


def test_training_leaves_a_frozen_gain_alone():
    model = keras.Sequential([keras.Input((6, 6, 4)), WNConv2D(3, 6, trainable_gain=False), kl.Flatten()])
    before = to_numpy(model.layers[0].g).copy()
    model.compile("sgd", "mse")
    model.fit(IMAGES, np.ones((2, 3)), verbose=0)
    np.testing.assert_array_equal(to_numpy(model.layers[0].g), before)


def test_bad_options_are_refused():
    with pytest.raises(
        ValueError, match="WNDense: trainable_gain='no' is not allowed. Allowed: True, False, or a dict"
    ):
        WNDense(3, trainable_gain="no")
    layer = WNSeparableConv2D(3, 3, trainable_gain={"kernel": False}, name="s")
    with pytest.raises(
        ValueError,
        match=r"'s': trainable_gain names the kernels \['kernel'\]. Allowed: depthwise_kernel, pointwise_kernel",
    ):
        layer(IMAGES)


def test_rho_that_was_thawed_is_still_cloned():
    model = keras.Sequential([keras.Input((6, 6, 4)), keras_wn.layers.BoundedWNConv2D(3, 2)])
    model.layers[0].g.trainable = True
    assert not keras.models.clone_model(model).layers[0].g.trainable
