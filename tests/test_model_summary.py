"""The table of a model's weight-normalized kernels."""

import math
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn import layers as wl
from keras_wn.model_summary import kernel_figures
from tests.helpers import to_numpy


def rows(model, **options):
    """The lines of the table, by the path of the kernel, each as its cells."""
    lines = []
    keras_wn.summary(model, print_fn=lines.append, **options)
    (text,) = lines
    return text, {line.split()[0]: line.split()[1:] for line in text.splitlines() if "/" in line}


def dense(**options):
    model = keras.Sequential([keras.Input((4,)), wl.WNDense(2, name="fc", **options)])
    model.layers[0].v.assign([[3.0, 0.0], [4.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    return model


def test_figures_are_those_of_the_equations():
    model = dense()
    model.layers[0].g.assign([2.0, 0.5])
    (figures,) = kernel_figures(model)
    np.testing.assert_allclose(figures.norms(), [5.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(figures.gains(), [2.0, 0.5], rtol=1e-6)
    assert math.isclose(figures.effective_rate(0.26), 0.26 / 13.0, rel_tol=1e-6)
    text, found = rows(model, learning_rate=0.26)
    assert text.splitlines()[0].split() == ["Kernel", "Units", "‖v‖", "g", "lr/‖v‖²", "Folds", "to"]
    assert found["fc/kernel"] == "2 3 (1 to 5) 1.2 (0.5 to 2) 0.02 Dense".split()


def test_effective_rate_is_the_step_of_the_direction():
    # A small step of SGD turns v by lr / ||v||^2 times the gradient of v / ||v||, at right angles.
    model = dense(use_gain=False, use_bias=False)
    layer = model.layers[0]
    gradient = np.array([[0.4, 1.0], [-0.3, 0.0], [0.1, 0.0], [0.0, 0.0]])
    before = to_numpy(layer.v).astype("float64")
    norms = np.linalg.norm(before, axis=0)
    unit = before / norms
    across = gradient - unit * (unit * gradient).sum(0)
    rate = 1e-3
    after = before - rate * across / norms  # The gradient of v in the strict form.
    turned = (after / np.linalg.norm(after, axis=0) - unit)[:, 0]
    (figures,) = kernel_figures(dense(use_gain=False, use_bias=False))
    layer.v.assign(before / norms * 5.0)  # One norm for both units, as the mean square then is.
    (figures,) = kernel_figures(model)
    np.testing.assert_allclose(
        turned, -figures.effective_rate(rate) * across[:, 0], rtol=1e-4, atol=1e-12
    )


def test_rate_is_that_of_the_compiled_optimizer_at_its_step():
    model = dense()
    assert "lr/" not in rows(model)[0]
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [1.3, 0.13])
    model.compile(keras.optimizers.SGD(schedule), "mse")
    assert rows(model)[1]["fc/kernel"][-2] == "0.1"
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(5)
    assert rows(model)[1]["fc/kernel"][-2] == "0.01"
    assert rows(model, learning_rate=2.6)[1]["fc/kernel"][-2] == "0.2"


def test_a_kernel_of_zeros_has_no_direction():
    model = dense()
    model.layers[0].v.assign(np.zeros((4, 2)))
    assert kernel_figures(model)[0].effective_rate(0.1) == math.inf
    assert rows(model, learning_rate=0.1)[1]["fc/kernel"][-2] == "inf"


def test_nested_models_wrappers_and_other_forms_have_their_rows():
    inner = keras.Sequential([keras.Input((6, 8)), wl.WNConv1D(3, 2, name="conv")], name="inner")
    model = keras.Sequential(
        [
            keras.Input((6, 4)),
            kl.Dense(8),
            inner,
            wl.WeightNormalization(kl.LSTM(2, name="lstm"), name="lstm"),
            wl.WNDense(5, use_gain=False, name="strict"),
            wl.WNDense(5, log_gain=True, name="log"),
        ]
    )
    text, found = rows(model)
    assert list(found) == [
        "inner/conv/kernel",
        "lstm/lstm/lstm_cell/kernel",
        "lstm/lstm/lstm_cell/recurrent_kernel",
        "strict/kernel",
        "log/kernel",
    ]
    assert [cells[-1] for cells in found.values()] == ["Conv1D", "LSTM", "LSTM", "Dense", "Dense"]
    assert found["strict/kernel"][-3:-1] == ["1,", "fixed"]
    # A gain in log space is shown as g, which starts at the norm.
    _, norm, *norm_range, gain = found["log/kernel"][:6]
    assert gain == norm and found["log/kernel"][6:9] == norm_range
    assert text.splitlines()[-1] == "5 of 6 kernels are weight-normalized."


def test_a_layer_that_cannot_fold_is_told():
    class Own(wl.WNDense):
        pass

    model = keras.Sequential([keras.Input((4,)), Own(2, name="own")])
    assert rows(model)[1]["own/kernel"][-3:] == ["no", "plain", "layer"]


def test_a_model_without_weight_normalization_is_told():
    model = keras.Sequential([keras.Input((4,)), kl.Dense(2)])
    assert rows(model)[0] == "0 of 1 kernels are weight-normalized."


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="summary: model 'net' is not built"):
        keras_wn.summary(keras.Sequential([wl.WNDense(2)], name="net"))
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"summary: learning_rate={rate!r} is not allowed"):
            keras_wn.summary(dense(), learning_rate=rate)


def test_a_narrow_terminal_breaks_paths_and_loses_nothing():
    code = (
        "import keras, keras_wn\n"
        # Two kernels of different lengths show their range, so that the table needs its width.
        "lengths = keras.initializers.Constant([[1.11, 2.22]] * 4)\n"
        "layer = keras_wn.layers.WNDense(\n"
        "    2, kernel_initializer=lengths, name='layer_with_a_rather_long_name'\n"
        ")\n"
        "keras_wn.summary(keras.Sequential([keras.Input((4,)), layer]), learning_rate=0.1)\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "COLUMNS": "50", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(len(line) <= 80 for line in printed.splitlines())
    assert "Dense" in printed and "lr/‖v‖²" in printed and "…" not in printed
    first_column = "".join(line[:20].strip() for line in printed.splitlines()[1:-2])
    assert first_column == "layer_with_a_rather_long_name/kernel"


def nested_models_with_one_name():
    def inner(name):
        inputs = keras.Input((4,))
        return keras.Model(inputs, keras_wn.layers.WNDense(4, name="fc")(inputs), name=name)

    x = inputs = keras.Input((4,))
    shared = keras_wn.layers.WNDense(4, name="shared")
    for part in (inner("a"), shared, inner("b"), shared):
        x = part(x)
    return keras.Model(inputs, x)


def test_kernels_of_one_path_are_told_apart_and_shared_ones_count_once():
    model = nested_models_with_one_name()
    figures = kernel_figures(model)
    assert [one.path for one in figures] == ["a/fc/kernel", "shared/kernel", "b/fc/kernel"]
    lines = []
    keras_wn.summary(model, print_fn=lines.append)
    assert "3 of 3 kernels are weight-normalized" in lines[0]
    # A layer that two nested models share.
    layer = keras_wn.layers.WNDense(4, name="fc")
    inputs = keras.Input((4,))
    one, two = (keras.Model(inputs, layer(inputs), name=name) for name in ("one", "two"))
    assert len(kernel_figures(keras.Model(inputs, two(one(inputs))))) == 1


def test_layers_of_a_list_with_one_name_are_numbered():
    class Listed(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = [keras_wn.layers.WNDense(4, name="fc") for _ in range(3)]

        def call(self, x):
            for part in self.parts:
                x = part(x)
            return x

    model = Listed()
    model(np.ones((1, 4), "float32"))
    paths = [one.path for one in kernel_figures(model)]
    assert len(set(paths)) == 3
