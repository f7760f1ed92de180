"""Files that cannot be read or do not fit. Good ones from TensorFlow Addons itself: test_against_tfa.py."""

import h5py
import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_wn.interop import load_tfa_weights
from keras_wn.layers import WeightNormalization

WEIGHTS = {
    "wn": {"g": np.full(3, 2.0), "kernel": np.ones((4, 3)), "bias": np.ones(3), "initialized": np.array(True)},
    "dense": {"kernel": np.ones((3, 2)), "bias": np.ones(2)},
}


def write(path, layers):
    """A file as Keras 2 lays it out."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, weights in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/{name}:0".encode() for name in weights]
            for name, value in weights.items():
                group[f"{layer}/{name}:0"] = value
    return path


def model():
    layers = [WeightNormalization(kl.Dense(3), name="first"), kl.Dense(2, name="second")]
    return keras.Sequential([keras.Input((4,)), *layers], name="m")


def refused(path, message, names=None):
    target = model()
    before = target.get_weights()
    with pytest.raises(ValueError, match=message):
        load_tfa_weights(target, path, names=names)
    for a, b in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_good_file_loads(tmp_path):
    target = model()
    load_tfa_weights(target, write(tmp_path / "good.h5", WEIGHTS))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(target.layers[0].gains["kernel"]), 2)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(target(np.ones((1, 4)))), 1 + 3 * (1 + 4), rtol=1e-6)


def test_names_that_keras_2_split_over_several_attributes(tmp_path):
    path = write(tmp_path / "split.h5", WEIGHTS)
    with h5py.File(path, "a") as file:
        for i, name in enumerate(file.attrs["layer_names"]):
            file.attrs[f"layer_names{i}"] = [name]
        del file.attrs["layer_names"]
    target = model()
    load_tfa_weights(target, path)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(target(np.ones((1, 4)))), 1 + 3 * (1 + 4), rtol=1e-6)


def test_file_that_is_not_there_or_not_one(tmp_path):
    refused(
        tmp_path / "none.h5",
        "cannot read .*none.h5: there is no such file, SavedModel or checkpoint. Allowed: a Keras 2 file",
    )
    refused(tmp_path, "there is no such file, SavedModel or checkpoint")
    (tmp_path / "text.h5").write_text("not HDF5")
    refused(tmp_path / "text.h5", "cannot read .*text.h5: .*file signature not found")
    target = model()
    target.save_weights(tmp_path / "new.weights.h5")
    refused(tmp_path / "new.weights.h5", "it names no layers, as Keras 2 does in name.h5")
    target.save(tmp_path / "new.keras")
    refused(tmp_path / "new.keras", "cannot read .*new.keras")


def test_truncated_file(tmp_path):
    whole = write(
        tmp_path / "whole.h5", {**WEIGHTS, "dense": {"kernel": np.ones((3, 2)), "bias": np.ones(2)}}
    ).read_bytes()
    for part in (100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "part.h5").write_bytes(whole[:part])
        refused(tmp_path / "part.h5", "cannot read .*part.h5")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="checkpoints are TensorFlow's")
def test_foreign_checkpoint(tmp_path):
    import tensorflow as tf

    tf.train.Checkpoint(x=tf.Variable(1.0)).write(str(tmp_path / "foreign"))
    refused(tmp_path / "foreign", "cannot read .*foreign: it holds no layers of Keras 2")
    index = tmp_path / "foreign.index"
    index.write_bytes(index.read_bytes()[:20])
    refused(tmp_path / "foreign", "cannot read .*foreign: ")


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"extra": {"kernel": np.ones((2, 2))}},
            r"holds weights of 3 layers, .*and the model has 2, \['first', 'second'\]",
        ),
        (
            {"dense": {"kernel": np.ones((3, 5)), "bias": np.ones(2)}},
            r"Layer 'second' expected 'kernel' of shape \(3, 2\). Received of 'dense': \(3, 5\)",
        ),
        (
            {"dense": {"kernel": np.ones((3, 2))}},
            r"Layer 'second' expected the weights \['kernel', 'bias'\]. Received of 'dense': \['kernel'\]",
        ),
        (
            {"wn": {**WEIGHTS["wn"], "kernel": np.ones((5, 3))}},
            r"Layer 'first' expected a kernel 'kernel' of shape \(4, 3\). Received: \(5, 3\)",
        ),
        (
            {"wn": {**WEIGHTS["wn"], "g": np.ones(2)}},
            r"Layer 'first': g of 'wn' has shape \(2,\), its kernel \(4, 3\)",
        ),
    ],
)
def test_file_that_does_not_fit(tmp_path, change, message):
    refused(write(tmp_path / "bad.h5", {**WEIGHTS, **change}), message)


def test_names_that_do_not_fit(tmp_path):
    path = write(tmp_path / "good.h5", WEIGHTS)
    refused(
        path,
        r"names={'first': 'wn'} is not allowed. Allowed: each of \['first', 'second'\] with one of",
        names={"first": "wn"},
    )
    with pytest.raises(ValueError, match="Model 'u' is not built"):
        load_tfa_weights(keras.Sequential([kl.Dense(2)], name="u"), path)
