"""Loads files that TensorFlow Addons, and a wrapper like TensorFlowTTS', wrote: `nox -s tfa`.

Outputs and gradients are compared with those of Keras 2.
"""

import functools
import os
import pathlib
import shutil

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn.interop import load_tfa_weights
from keras_wn.layers import WeightNormalization
from tests.helpers import randomize, to_numpy

FOLDER = pathlib.Path(os.environ.get("KERAS_WN_TFA_FILES", ""))
pytestmark = [
    pytest.mark.skipif(
        "KERAS_WN_TFA_FILES" not in os.environ,
        reason="needs files from TensorFlow Addons: nox -s tfa",
    ),
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="the programs use TensorFlow's operations"
    ),
]
OTHER_AXES = "ignore:load_tfa_weights. w is the same, but v and g are new"
PROGRAMS = ("issue_2869", "convolutions", "recurrent", "nested", "tcn", "wdsr", "subclassed")
# Each is a program in `programs.py` and who wrote its files.
CASES = [f"{program}-{writer}" for program in PROGRAMS for writer in ("no_data_init", "data_init")]
CASES += ["other_layers-no_data_init", "melgan_square-tensorflow_tts"]
CASES += [
    f"{program}-{writer}"
    for program in ("square", "square_alone", "melgan")
    for writer in ("no_data_init", "tensorflow_tts")
]
ONE_OF_EACH = [case for case in CASES if not case.endswith("-data_init")]


def as_tfa(layer):
    """Norms over the axes that TensorFlow Addons takes."""
    if isinstance(layer, kl.RNN):
        return WeightNormalization(layer, weights=["recurrent_kernel"])
    axis = tuple(range(len(layer.kernel_size) + 1)) if hasattr(layer, "kernel_size") else 0
    return WeightNormalization(layer, axis=axis)


@functools.cache
def made(program, wrapper):
    from tests.interop.tfa import programs  # Imports TensorFlow.

    programs.WRAPPERS |= {
        "as_tfa": as_tfa,
        "default": WeightNormalization,
        "plain": lambda layer: layer,
    }
    # Layers get the names that they have in a new process.
    keras.utils.clear_session()
    return getattr(programs, program)(wrapper)


def make(case, wrapper=None):
    """The program with new weights, and with the norms of the writer of its files or others."""
    program, _, writer = case.partition("-")
    model = made(program, wrapper or ("default" if writer == "tensorflow_tts" else "as_tfa"))
    randomize(model)
    return model


def files(case):
    ends = (".h5", "_weights.h5", "_checkpoint", "_saved", "_trained/ckpt-1")
    paths = [FOLDER / f"{case}{end}" for end in ends]
    return [
        path for path in paths if path.exists() or path.with_name(f"{path.name}.index").exists()
    ]


def load(model, case, path):
    """Loads with the axis of g said where the file does not show it."""
    asked = (
        case.startswith(("square_alone", "melgan_square"))
        and path != FOLDER / "square_alone-no_data_init.h5"
    )
    unit_axis = (
        {"no_data_init": -1, "tensorflow_tts": -2}[case.partition("-")[2]] if asked else None
    )
    return load_tfa_weights(model, path, unit_axis=unit_axis)


def assert_outputs(model, case):
    expected = np.load(FOLDER / f"{case}.npz")
    scale = np.abs(expected["outputs"]).max()
    np.testing.assert_allclose(
        to_numpy(model(expected["x"])) / scale, expected["outputs"] / scale, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("case", CASES)
def test_outputs_of_every_file_are_those_of_keras_2(case):
    model = make(case)
    assert len(files(case)) >= 3
    for path in files(case):
        randomize(model)
        report = load(model, case, path)
        assert not report.other_axes and not report.missing
        assert report.unexpected == (["top_level_model_weights"] if path.parent != FOLDER else [])
        assert_outputs(model, case)


@pytest.mark.parametrize("case", ONE_OF_EACH)
def test_gradients_are_those_of_keras_2(case):
    import tensorflow as tf

    expected = np.load(FOLDER / f"{case}.npz")
    model = make(case)
    load(model, case, FOLDER / f"{case}_weights.h5")
    with tf.GradientTape() as tape:
        outputs = model(expected["x"], training=False)
        loss = tf.reduce_sum(
            outputs * tf.reshape(tf.range(float(tf.size(outputs))), outputs.shape) / 10.0
        )
    found = tape.gradient(loss, [v.value for v in model.trainable_variables])
    load(model, case, FOLDER / f"{case}_gradients.h5")
    for variable, gradient in zip(model.trainable_variables, found, strict=True):
        scale = np.abs(to_numpy(variable)).max()
        gradient = to_numpy(tf.convert_to_tensor(gradient))
        np.testing.assert_allclose(
            gradient / scale, to_numpy(variable) / scale, rtol=0, atol=1e-4, err_msg=variable.path
        )


@pytest.mark.filterwarnings(OTHER_AXES)
@pytest.mark.parametrize(
    "case", [case for case in ONE_OF_EACH if not case.startswith("melgan_square")]
)
def test_models_with_other_norms_and_plain_ones_take_the_same_w(case):
    for wrapper in ("default", "plain"):
        model = make(case, wrapper)
        load(model, case, files(case)[0])
        assert_outputs(model, case)


@pytest.mark.filterwarnings(OTHER_AXES)
@pytest.mark.parametrize(
    "case", ["convolutions-no_data_init", "nested-data_init", "subclassed-data_init"]
)
def test_weight_norm_of_the_plain_model_takes_the_weights_too(case):
    model = keras_wn.weight_norm(make(case, "plain"))
    load(model, case, files(case)[0])
    assert_outputs(model, case)


@pytest.mark.parametrize(
    "case", ["tcn-data_init", "wdsr-no_data_init", "subclassed-data_init", "melgan-tensorflow_tts"]
)
def test_loaded_programs_are_saved_and_folded(case, tmp_path):
    model = make(case)
    load(model, case, files(case)[0])
    model.save(tmp_path / "model.keras")
    assert_outputs(keras.models.load_model(tmp_path / "model.keras"), case)
    assert_outputs(keras_wn.fold(model), case)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.startswith(("square_alone", "melgan_square"))]
)
def test_which_axis_g_lies_along_is_asked_where_no_file_shows_it(case):
    for path in [path for path in files(case) if path != FOLDER / "square_alone-no_data_init.h5"]:
        model = make(case, "default")
        before = model.get_weights()
        with pytest.raises(
            ValueError,
            match="the file does not show which of these have the norms. "
            "Allowed: unit_axis=-1 for TensorFlow Addons, -2 for",
        ):
            load_tfa_weights(model, path)
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_unit_axis_that_the_file_contradicts():
    path = FOLDER / "square-tensorflow_tts_weights.h5"
    with pytest.raises(ValueError, match="the file shows unit_axis=-2"):
        load_tfa_weights(make("square-tensorflow_tts"), path, unit_axis=-1)


def test_other_axes_are_reported():
    model = make("convolutions-no_data_init", "default")
    with pytest.warns(
        UserWarning,
        match=r"load_tfa_weights: w is the same.*\{'weight_normalization_1': axis=\(0, 1, 2\)\}",
    ):
        report = load_tfa_weights(model, FOLDER / "convolutions-no_data_init_weights.h5")
    assert report.other_axes == {"weight_normalization_1": (0, 1, 2)}
    assert list(report.loaded.values())[:2] == ["weight_normalization", "batch_normalization"]


def test_one_model_of_several():
    path = FOLDER / "gan" / "ckpt-1"
    for name, program in {"generator": "tcn", "discriminator": "issue_2869"}.items():
        model = make(program)
        with pytest.raises(
            ValueError, match=r"prefix chooses one: \['discriminator', 'generator'\]"
        ):
            load_tfa_weights(model, path)
        load_tfa_weights(model, path, prefix=name)
        assert_outputs(model, name)
    with pytest.raises(
        ValueError,
        match=r"prefix='g' is not in .*ckpt-1. Allowed: \['discriminator', 'generator'\]",
    ):
        load_tfa_weights(model, path, prefix="g")


def test_model_that_was_never_called_in_keras_2():
    """The gains start at the norms when it is called."""
    model = make("issue_2869")
    for path in ("new-no_data_init.h5", "new-no_data_init_checkpoint"):
        randomize(model)
        load_tfa_weights(model, FOLDER / path)
        assert_outputs(model, "new")
    for path in ("new-data_init.h5", "new-data_init_checkpoint"):
        load_tfa_weights(model, FOLDER / path)
        layer = model.get_layer("weight_normalization")
        np.testing.assert_allclose(to_numpy(layer.effective_kernel), to_numpy(layer.v), rtol=1e-5)


def test_nested_model_alone():
    model = make("nested-data_init")
    load_tfa_weights(model, FOLDER / "nested-data_init_weights.h5")
    expected = model.get_layer("inner").get_weights()
    alone = model.get_layer("inner")
    for path, prefix in {
        "nested-data_init_weights.h5": "inner",
        "nested-data_init_checkpoint": "layer_with_weights-0",
    }.items():
        randomize(alone)
        load_tfa_weights(alone, FOLDER / path, prefix=prefix)
        for a, b in zip(expected, alone.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "path",
    ["subclassed-plain_weights.h5", "subclassed-plain_trained/ckpt-1", "subclassed-plain_saved"],
)
def test_plain_models_load_into_plain_layers(path):
    with pytest.raises(
        ValueError, match="is of a plain Keras model.* and then keras_wn.weight_norm"
    ):
        load_tfa_weights(make("subclassed-data_init"), FOLDER / path)
    model = make("subclassed", "plain")
    load_tfa_weights(model, FOLDER / path)
    assert_outputs(model, "subclassed-plain")
    assert_outputs(keras_wn.weight_norm(model), "subclassed-plain")


def test_names_choose_the_layers():
    model = make("convolutions-data_init")
    load_tfa_weights(model, FOLDER / "convolutions-data_init.h5")
    first = model.get_weights()
    layers = [layer.name for layer in model.layers if layer.weights]
    in_file = [
        "weight_normalization",
        "batch_normalization",
        "weight_normalization_1",
        "depthwise_conv2d",
    ]
    in_file += ["weight_normalization_2", "conv2d_2", "weight_normalization_3"]
    for names in (
        dict(zip(layers, in_file, strict=True)),
        {layers[4]: in_file[4]},
        {layers[0]: in_file[0], layers[6]: in_file[6]},
    ):
        randomize(model)
        load_tfa_weights(model, FOLDER / "convolutions-data_init.h5", names=names)
        for a, b in zip(first, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_names_of_a_bidirectional_layer_and_of_layers_around_others():
    for case, name, in_file in [
        ("recurrent-data_init", "bidirectional", "bidirectional"),
        ("tcn-data_init", "matching_conv1D", "tcn/residual_block_0/matching_conv1D"),
    ]:
        model = make(case)
        report = load_tfa_weights(model, FOLDER / f"{case}_weights.h5", names={name: in_file})
        assert report.loaded[name].startswith(in_file)
        assert_outputs(model, case)


@pytest.mark.parametrize("case", CASES[:4])
def test_the_newer_format_is_refused_in_words(case):
    with pytest.raises(
        ValueError, match="it names no layers, as Keras 2 does in name.h5 but not name.weights.h5"
    ):
        load_tfa_weights(make(case), FOLDER / f"{case}.weights.h5")


@pytest.mark.parametrize(
    "path", ["tcn-data_init.h5", "tcn-data_init_trained", "tcn-data_init_saved"]
)
def test_files_cut_short(path, tmp_path):
    copy = tmp_path / path
    (shutil.copytree if (FOLDER / path).is_dir() else shutil.copy)(FOLDER / path, copy)
    loaded = copy / "ckpt-1" if path.endswith("trained") else copy
    model = make("tcn-data_init")
    before = model.get_weights()
    for file in [copy, *copy.rglob("*.index"), *copy.rglob("*.data-*")]:
        if file.is_file():
            whole = file.read_bytes()
            for length in [0, 1, *range(7, len(whole), len(whole) // 20), len(whole) - 1]:
                file.write_bytes(whole[:length])
                with pytest.raises(ValueError, match=f"cannot read {loaded}: "):
                    load_tfa_weights(model, loaded)
            file.write_bytes(whole)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    load_tfa_weights(model, loaded)
    assert_outputs(model, "tcn-data_init")
