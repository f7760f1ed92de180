"""Files that an earlier version wrote still load, with the same outputs."""

import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_wn
from tests.saved_files.make_files import every_layer

FOLDER = pathlib.Path(__file__).parent / "saved_files"
NAMES = ("every_layer", "weighted_join", "later_layers", "ghost_batches", "ingredients")


def _arrays(name):
    with np.load(FOLDER / "inputs_and_outputs.npz", allow_pickle=False) as arrays:
        inputs = [arrays[key] for key in sorted(arrays.files) if key.startswith(f"{name}/input")]
        return inputs if len(inputs) > 1 else inputs[0], arrays[f"{name}/output"]


def _check(model, name):
    inputs, expected = _arrays(name)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(inputs)), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", NAMES)
def test_models_load(name):
    _check(keras.saving.load_model(FOLDER / f"{name}.keras"), name)


def test_weights_load():
    model = every_layer()
    model.load_weights(FOLDER / "every_layer.weights.h5")
    _check(model, "every_layer")


def test_a_fresh_process_that_imports_the_package_alone_loads_them():
    program = (
        "import keras, keras_wn, sys\n"
        "for path in sys.argv[1:]:\n    print(keras.saving.load_model(path).name)"
    )
    paths = [str(FOLDER / f"{name}.keras") for name in NAMES]
    done = subprocess.run(
        [sys.executable, "-c", program, *paths], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [
        "every_layer",
        "cifar_resnet8_wn_trelu",
        "later_layers",
        "ghost_batches",
        "ingredients",
    ]


def test_every_public_layer_is_in_a_file():
    models = [keras.saving.load_model(FOLDER / f"{name}.keras") for name in NAMES]
    found = {type(layer).__name__ for model in models for layer in model.layers}
    assert set(keras_wn.layers.__all__) <= found
