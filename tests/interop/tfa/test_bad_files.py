"""Loads files that cannot be read or do not fit, made without TensorFlow Addons."""

import itertools
import json

import h5py
import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn.interop import load_tfa_weights
from keras_wn.layers import WeightNormalization
from tests.helpers import to_numpy

WEIGHTS = {
    "wn": {
        "g": np.full(3, 2.0),
        "kernel": np.ones((4, 3)),
        "bias": np.ones(3),
        "initialized": np.array(True),
    },
    "dense": {"kernel": np.ones((3, 2)), "bias": np.ones(2)},
}
needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="checkpoints are TensorFlow's"
)


def write(path, layers, config=None):
    """A file as Keras 2 lays it out."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
        for layer, weights in layers.items():
            group = file.create_group(layer)
            names = [name if "/" in name else f"{layer}/{name}" for name in weights]
            group.attrs["weight_names"] = [f"{name}:0".encode() for name in names]
            for name, value in zip(names, weights.values(), strict=True):
                group[f"{name}:0"] = value
    return path


def model():
    layers = [WeightNormalization(kl.Dense(3), name="first"), kl.Dense(2, name="second")]
    return keras.Sequential([keras.Input((4,)), *layers], name="m")


def plain_model():
    layers = [kl.Dense(3, name="first"), kl.Dense(2, name="second")]
    return keras.Sequential([keras.Input((4,)), *layers], name="m")


def refused(path, message, target=None, **options):
    target = target or model()
    before = target.get_weights()
    with pytest.raises(ValueError, match=message) as error:
        load_tfa_weights(target, path, **options)
    assert "\n" not in str(error.value)
    for a, b in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_good_file_loads(tmp_path):
    target = model()
    report = load_tfa_weights(target, write(tmp_path / "good.h5", WEIGHTS))
    np.testing.assert_array_equal(to_numpy(target.layers[0].gains["kernel"]), 2)
    np.testing.assert_allclose(to_numpy(target(np.ones((1, 4)))), 1 + 3 * (1 + 4), rtol=1e-6)
    assert report.loaded == {"first": "wn", "second": "dense"}


def test_names_that_keras_2_split_over_several_attributes(tmp_path):
    path = write(tmp_path / "split.h5", WEIGHTS)
    with h5py.File(path, "a") as file:
        for i, name in enumerate(file.attrs["layer_names"]):
            file.attrs[f"layer_names{i}"] = [name]
        del file.attrs["layer_names"]
    target = model()
    load_tfa_weights(target, path)
    np.testing.assert_allclose(to_numpy(target(np.ones((1, 4)))), 1 + 3 * (1 + 4), rtol=1e-6)


def test_file_that_is_not_there_or_not_one(tmp_path):
    refused(
        tmp_path / "none.h5",
        "cannot read .*none.h5: there is no such file, SavedModel or checkpoint. "
        "Allowed: a Keras 2 file",
    )
    refused(tmp_path, "there is no such file, SavedModel or checkpoint")
    (tmp_path / "text.h5").write_text("not HDF5")
    refused(tmp_path / "text.h5", "cannot read .*text.h5: .*file signature not found")
    target = model()
    target.save_weights(tmp_path / "new.weights.h5")
    refused(tmp_path / "new.weights.h5", "it names no layers, as Keras 2 does in name.h5")
    target.save(tmp_path / "new.keras")
    refused(tmp_path / "new.keras", "cannot read .*new.keras: it is in the newer format name.keras")


def test_file_that_is_cut_short(tmp_path):
    whole = write(tmp_path / "whole.h5", WEIGHTS).read_bytes()
    for length in [*range(0, len(whole), 211), len(whole) - 1]:
        (tmp_path / "part.h5").write_bytes(whole[:length])
        refused(tmp_path / "part.h5", "cannot read .*part.h5")


def test_arrays_that_are_not_in_the_file_itself_or_no_numbers(tmp_path):
    path = write(tmp_path / "good.h5", WEIGHTS)
    for name, replace in {
        "link": lambda group: group.__setitem__(
            "dense/bias:0", h5py.ExternalLink("good.h5", "/dense/dense/bias:0")
        ),
        "external": lambda group: group.create_dataset(
            "dense/bias:0", (2,), "f4", external=[(str(path), 0, 8)]
        ),
        "text": lambda group: group.__setitem__("dense/bias:0", ["a", "b"]),
    }.items():
        other = write(tmp_path / f"{name}.h5", WEIGHTS)
        with h5py.File(other, "a") as file:
            del file["dense"]["dense/bias:0"]
            replace(file["dense"])
        refused(
            other,
            "array 'dense/bias:0' is (not in the file itself|of object, which are no numbers)",
        )


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"extra": {"kernel": np.ones((2, 2))}},
            "holds weights of 3 layers, and the model has 2. In order, the first pair that differs "
            "is no layer and 'extra' of the file. Allowed: the same layers in the same order",
        ),
        (
            {"dense": {"kernel": np.ones((3, 5)), "bias": np.ones(2)}},
            r"layer 'second' expected 'kernel' of shape \(3, 2\). Received of 'dense': \(3, 5\)",
        ),
        (
            {"dense": {"kernel": np.ones((3, 2))}},
            r"layer 'second' expected the weights \['kernel', 'bias'\]. "
            r"Received of 'dense': \['kernel'\]",
        ),
        (
            {"wn": {**WEIGHTS["wn"], "kernel": np.ones((5, 3))}},
            r"layer 'first' expected 'kernel' of shape \(4, 3\). Received of 'wn': \(5, 3\)",
        ),
        (
            {"wn": {**WEIGHTS["wn"], "g": np.ones(2)}},
            r"g of 'wn', for layer 'first', has shape \(2,\). "
            r"Allowed with its kernel \(4, 3\): \[\(3,\)\]",
        ),
    ],
)
def test_file_that_does_not_fit(tmp_path, change, message):
    refused(write(tmp_path / "bad.h5", {**WEIGHTS, **change}), message)


def test_names_that_do_not_fit(tmp_path):
    path = write(tmp_path / "good.h5", WEIGHTS)
    allowed = (
        "is not allowed. Allowed: from the layers 'first', 'second' to one each of 'wn', 'dense'"
    )
    refused(path, f"names with 'third': 'wn' {allowed}", names={"third": "wn"})
    refused(path, f"names with 'first': 'w' {allowed}", names={"first": "w"})
    refused(path, f"names with 'second': 'wn' {allowed}", names={"first": "wn", "second": "wn"})
    refused(
        path,
        r"layer 'first' expected .* Received of 'dense'",
        names={"first": "dense", "second": "wn"},
    )
    refused(path, r"prefix='a' is not in .*good.h5. Allowed: \['wn', 'dense'\]", prefix="a")
    refused(path, "unit_axis=0. Allowed: -1, -2 or None", unit_axis=0)
    with pytest.raises(ValueError, match="model 'u' is not built"):
        load_tfa_weights(keras.Sequential([kl.Dense(2)], name="u"), path)


def test_plain_file(tmp_path):
    weights = {"a": {"kernel": np.ones((4, 3)), "bias": np.ones(3)}, "b": WEIGHTS["dense"]}
    path = write(tmp_path / "plain.h5", weights)
    refused(
        path,
        "is of a plain Keras model.* Allowed: .*load_tfa_weights.plain_model, path.* "
        "then keras_wn.weight_norm",
    )
    target = plain_model()
    load_tfa_weights(target, path)
    normalized = keras_wn.weight_norm(target)
    np.testing.assert_allclose(to_numpy(normalized(np.ones((1, 4)))), 1 + 3 * (1 + 4), rtol=1e-6)


def transposed(*channels):
    layers = [
        WeightNormalization(kl.Conv2DTranspose(n, 2, use_bias=False), axis=(0, 1, 3))
        for n in channels[1:]
    ]
    return keras.Sequential([keras.Input((3, 3, channels[0])), *layers])


def write_transposed(path, channels, gains, config=None):
    shapes = [(2, 2, n_out, n_in) for n_in, n_out in itertools.pairwise(channels)]
    layers = {
        f"wn_{i}": {"g": np.arange(1.0, n + 1), "kernel": np.ones(shape)}
        for i, (shape, n) in enumerate(zip(shapes, gains, strict=True))
    }
    return write(path, layers, config)


@pytest.mark.filterwarnings("ignore:load_tfa_weights. w is the same")
@pytest.mark.parametrize(
    "channels, gains, options, expected",
    [
        ((3, 2, 2), (2, 2), {}, -2),
        ((3, 2, 2), (3, 2), {}, -1),
        ((2, 2), (2,), {"unit_axis": -1}, -1),
        ((2, 2), (2,), {"unit_axis": -2}, -2),
        # A g of one entry shows the axis only where the other axis is longer.
        ((4, 1, 1, 3, 3), (1, 1, 3, 3), {}, -2),
    ],
)
def test_which_axis_g_lies_along(tmp_path, channels, gains, options, expected):
    target = transposed(*channels)
    load_tfa_weights(target, write_transposed(tmp_path / "t.h5", channels, gains), **options)
    w = to_numpy(target.layers[-1].effective_kernel)
    g = np.arange(1.0, gains[-1] + 1)
    norms = np.sqrt(np.sum(np.square(w), axis=(0, 1, -3 - expected)))
    np.testing.assert_allclose(norms, g, rtol=1e-5)


def test_which_axis_g_lies_along_is_not_guessed(tmp_path):
    silent = (
        "the file does not show which of these have the norms. "
        "Allowed: unit_axis=-1 for TensorFlow Addons, -2 for"
    )
    path = write_transposed(tmp_path / "one.h5", (2, 2), (2,))
    refused(path, f"g of 'wn_0', for layer 'weight_normalization.*{silent}", transposed(2, 2))
    path = write_transposed(tmp_path / "both.h5", (3, 2, 2, 4), (2, 2, 2))
    refused(path, "the file shows both in other layers", transposed(3, 2, 2, 4))
    path = write_transposed(tmp_path / "other.h5", (3, 2, 2), (2, 2))
    refused(path, "the file shows unit_axis=-2", transposed(3, 2, 2), unit_axis=-1)


@pytest.mark.parametrize(
    "class_name, is_known", [("Addons>WeightNormalization", True), ("WeightNormalization", False)]
)
def test_class_of_the_wrapper_shows_the_axis(tmp_path, class_name, is_known):
    config = {
        "config": {"layers": [{"class_name": class_name, "config": {"name": "wn_0", "layer": {}}}]}
    }
    path = write_transposed(tmp_path / "whole.h5", (2, 2), (2,), config)
    if not is_known:
        refused(path, "does not show", transposed(2, 2))
        return
    with pytest.warns(UserWarning, match=r"axis=\(0, 1, 2\)"):
        load_tfa_weights(transposed(2, 2), path)


@keras.saving.register_keras_serializable("tests_of_bad_files")
class Around(kl.Layer):
    """A layer of the user's own, around others, with weights of its own."""

    def __init__(self, layers, names):
        super().__init__()
        self.inner = layers
        self.own_names = names

    def build(self, input_shape):
        self.own = [self.add_weight(shape=(2,), name=name) for name in self.own_names]
        for layer in self.inner:
            layer.build(input_shape)

    def call(self, x):
        for layer in self.inner:
            x = layer(x)
        return x + sum(self.own)


def around(layers, names=()):
    target = keras.Sequential([keras.Input((2,)), Around(layers, names)])
    target(np.ones((1, 2)))
    return target


def test_layers_without_scopes_and_weights_without_names(tmp_path):
    weights = {
        "Variable": [1.0, 2.0],
        "Variable_1": [3.0, 4.0],
        "g": [5.0, 6.0],
        "kernel": np.eye(2),
        "bias": [7.0, 8.0],
    }
    target = around([WeightNormalization(kl.Dense(2))], (None, None))
    load_tfa_weights(
        target, write(tmp_path / "a.h5", {"around": weights | {"initialized": np.array(True)}})
    )
    np.testing.assert_allclose(to_numpy(target(np.ones((1, 2)))), [[5 + 7 + 4, 6 + 8 + 6]])


def test_a_weight_that_is_called_g_and_is_no_gain(tmp_path):
    target = around([], ("g", "kernel"))
    load_tfa_weights(
        target, write(tmp_path / "g.h5", {"around": {"g": [1.0, 2.0], "kernel": [3.0, 4.0]}})
    )
    np.testing.assert_allclose(to_numpy(target(np.zeros((1, 2)))), [[4, 6]])


def test_frozen_layers_of_which_the_order_is_lost(tmp_path):
    def weights(i, value):
        return {
            f"around/wn_{i}/g": np.full(2, value),
            f"around/wn_{i}/kernel": np.eye(2),
            f"around/wn_{i}/bias": np.zeros(2),
        }

    initialized = {f"around/wn_{i}/initialized": np.array(True) for i in range(2)}
    layers = [WeightNormalization(kl.Dense(2), name=f"layer_{i}") for i in range(2)]
    # The first layer was frozen, so that its weights come after those of the second.
    path = write(
        tmp_path / "frozen.h5", {"around": {**weights(1, 3.0), **weights(0, 2.0), **initialized}}
    )
    target = around(layers)
    refused(
        path,
        "with some layers frozen, so that the order of 'around/wn_1', 'around/wn_0' is not known",
        target,
    )
    load_tfa_weights(target, path, names={"layer_0": "around/wn_0", "layer_1": "around/wn_1"})
    np.testing.assert_array_equal(to_numpy(layers[0].g), 2)
    path = write(
        tmp_path / "trained.h5", {"around": {**weights(0, 4.0), **weights(1, 5.0), **initialized}}
    )
    load_tfa_weights(target, path)
    np.testing.assert_array_equal(to_numpy(layers[0].g), 4)


def checkpoint(**objects):
    import tensorflow as tf

    return tf.train.Checkpoint(**objects)


def tensorflow_variable(name, value):
    import tensorflow as tf

    return tf.Variable(value, name=name, dtype=tf.float32)


def stored(layer):
    """The objects of a model as Keras 2 keeps them, the first layer wrapped or plain."""
    plain = {name: tensorflow_variable(name, WEIGHTS["wn"][name]) for name in ("kernel", "bias")}
    wrapped = {
        "g": tensorflow_variable("g", WEIGHTS["wn"]["g"]),
        "v": plain["kernel"],
        "layer": checkpoint(**plain),
    }
    dense = {name: tensorflow_variable(name, value) for name, value in WEIGHTS["dense"].items()}
    first = checkpoint(**(wrapped if layer == "wrapped" else plain))
    return checkpoint(
        **{
            "layer_with_weights-0": first,
            "layer-0": first,
            "layer_with_weights-1": checkpoint(**dense),
        }
    )


@needs_tensorflow
def test_checkpoints(tmp_path):
    def written(name, **objects):
        return checkpoint(**objects).write(str(tmp_path / name))

    step = tensorflow_variable("step", 1.0)
    target = model()
    report = load_tfa_weights(target, written("one", model=stored("wrapped"), step=step))
    assert report.unexpected == ["top_level_model_weights"]
    np.testing.assert_allclose(to_numpy(target(np.ones((1, 4)))), 1 + 3 * (1 + 4), rtol=1e-6)
    several = written("several", a=stored("wrapped"), b=stored("wrapped"), step=step)
    refused(
        several, r"holds weights of 5 layers.* Of several models, prefix chooses one: \['a', 'b'\]"
    )
    refused(several, r"prefix='c' is not in .*several. Allowed: \['a', 'b'\]", prefix="c")
    refused(several, r"prefix='a/c' is not in", prefix="a/c")
    load_tfa_weights(target, several, prefix="b")
    plain = written("plain", model=stored("plain"))
    refused(plain, "is of a plain Keras model.* then keras_wn.weight_norm")
    target = plain_model()
    load_tfa_weights(target, plain)
    np.testing.assert_allclose(to_numpy(target(np.ones((1, 4)))), 1 + 3 * 5, rtol=1e-6)


@needs_tensorflow
def test_foreign_checkpoints(tmp_path):
    import tensorflow as tf

    checkpoint(x=checkpoint()).write(str(tmp_path / "foreign"))
    refused(tmp_path / "foreign", "cannot read .*foreign: it holds no layers of Keras 2")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("dense/kernel", initializer=np.ones((2, 2)))
        session.run(variable.initializer)
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "tf1"))
    refused(
        tmp_path / "tf1",
        "cannot read .*tf1: it has variables by names alone, as tf.compat.v1.train.Saver writes",
    )


@needs_tensorflow
def test_checkpoint_that_is_cut_short(tmp_path):
    path = tmp_path / "ckpt"
    checkpoint(model=stored("wrapped"), optimizer=tensorflow_variable("slot", np.ones(100))).write(
        str(path)
    )
    for file in tmp_path.iterdir():
        whole = file.read_bytes()
        for length in [*range(0, len(whole), 23), len(whole) - 1]:
            file.write_bytes(whole[:length])
            refused(path, "cannot read .*ckpt: ")
        file.write_bytes(whole)


def test_layers_of_the_files_names_are_found_in_any_order(tmp_path):
    weights = {
        name: {"kernel": np.full((3, 3), i), "bias": np.full(3, i), "g": np.ones(3)}
        for i, name in enumerate("abc")
    }
    path = write(tmp_path / "file.h5", weights)

    def of(*names):
        layers = [WeightNormalization(kl.Dense(3, name=name)) for name in names]
        return keras.Sequential([keras.Input((3,)), *layers], name="m")

    target = of("c", "a", "b")
    report = load_tfa_weights(target, path)
    assert report.loaded == {"a": "a", "b": "b", "c": "c"}
    assert [float(to_numpy(layer.layer.bias)[0]) for layer in target.layers] == [2, 0, 1]
    refused(
        path,
        "in order, layer 'c' is 'b' of the file, which also has a 'c'. Allowed: names=",
        of("a", "c", "other"),
    )
    target = of("x", "y", "z")
    assert load_tfa_weights(target, path).loaded == {"x": "a", "y": "b", "z": "c"}
