"""Reads the files in which Keras 2 kept weights."""

import importlib
import itertools
import pathlib

import h5py
import numpy as np


def read(path):
    """Weights of a Keras 2 file, layer by layer.

    Args:
        path: HDF5 file of a model or of its weights, SavedModel folder, or checkpoint prefix.

    Returns:
        List of pairs of a layer's name and its weights, a list of pairs of a name within the layer and an array.

    Raises:
        ValueError: If the file is none of these.
    """
    path = pathlib.Path(path)
    if path.is_file():
        return _read_hdf5(path)
    prefix = path / "variables" / "variables" if path.is_dir() else path
    if not prefix.with_name(f"{prefix.name}.index").is_file():
        raise ValueError(_message(path, "there is no such file, SavedModel or checkpoint"))
    try:
        checkpoint = importlib.import_module("keras_wn.interop.tfa.checkpoint")
    except ImportError as error:
        raise ImportError(
            f"load_tfa_weights: {path} is TensorFlow's; reading it needs TensorFlow: pip install tensorflow"
        ) from error
    try:
        return checkpoint.read(str(prefix))
    except checkpoint.ERRORS as error:
        raise ValueError(_message(path, str(error))) from error


def _read_hdf5(path):
    try:
        with h5py.File(path, "r") as file:
            group = file["model_weights"] if "model_weights" in file else file
            if not _names(group, "layer_names"):
                raise ValueError(
                    "it names no layers, as Keras 2 does in name.h5, but not in name.weights.h5 or name.keras"
                )
            weights = []
            for layer in _names(group, "layer_names"):
                weights += [(name, np.asarray(group[layer][name])) for name in _names(group[layer], "weight_names")]
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(_message(path, str(error).strip("'\""))) from error
    return by_layer((name.removesuffix(":0"), array) for name, array in weights)


def by_layer(weights):
    """Groups weights by the first part of their names."""
    layers = {}
    for name, array in weights:
        layer, _, own = name.partition("/")
        layers.setdefault(layer, []).append((own, array))
    return list(layers.items())


def _names(group, attribute):
    """A list of names, which Keras 2 split over several attributes where it was long."""
    numbered = itertools.takewhile(lambda name: name in group.attrs, (f"{attribute}{i}" for i in itertools.count()))
    parts = [attribute] if attribute in group.attrs else list(numbered)
    values = [value for part in parts for value in group.attrs[part]]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _message(path, reason):
    return (
        f"load_tfa_weights: cannot read {path}: {reason}. "
        "Allowed: a Keras 2 file name.h5 of a model or of its weights, a SavedModel's folder, a checkpoint's prefix."
    )
