import json

import keras
import numpy as np
import tensorflow as tf

from keras_wn.models import ResNet18
from keras_wn.training import signal_report

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(8, 32, 32, 3)).astype("float32")
LABELS = np.eye(10, dtype="float32")[RNG.integers(0, 10, 8)]
LOSS = keras.losses.CategoricalCrossentropy(from_logits=True)


def test_statistics_are_those_of_the_joins_and_the_model_stays_as_it_was():
    model = ResNet18(method="bn", input_shape=(32, 32, 3), classes=10)
    before = [v.numpy().copy() for v in model.variables]
    found, _ = signal_report.measure(model, IMAGES, LABELS, LOSS)
    assert [s.block for s in found] == [f"stage{s}_block{b}" for s in (1, 2, 3, 4) for b in (1, 2)]
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
    output = keras.Model(model.input, model.get_layer("stage3_block2_join").output)(
        IMAGES, training=True
    ).numpy()
    np.testing.assert_allclose(found[5].mean, output.mean(), rtol=1e-4)
    np.testing.assert_allclose(found[5].variance, output.var(axis=(0, 1, 2)).mean(), rtol=1e-4)


def test_gradient_norm_predicts_how_the_loss_changes():
    # Behind the last join: activation, pooling, classifier. Their gradient in closed form.
    model = ResNet18(method="none", input_shape=(32, 32, 3), classes=10)
    join = keras.Model(model.input, model.get_layer("stage4_block2_join").output)(IMAGES).numpy()
    kernel = model.get_layer("logits").kernel.numpy()
    probabilities = keras.ops.softmax(model(IMAGES)).numpy()
    gradient = ((probabilities - LABELS) / len(IMAGES)) @ kernel.T
    gradient = gradient[:, None, None, :] * (join > 0) / (join.shape[1] * join.shape[2])
    found = signal_report.measure(model, IMAGES, LABELS, LOSS)[0][-1]
    np.testing.assert_allclose(found.gradient_norm, np.linalg.norm(gradient), rtol=1e-3)


def test_gradient_norm_of_all_weights_is_that_of_a_plain_tape():
    model = ResNet18(method="wn", input_shape=(32, 32, 3), classes=10)
    with tf.GradientTape() as tape:
        loss = LOSS(LABELS, model(IMAGES, training=True))
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    expected = tf.linalg.global_norm(gradients).numpy()
    np.testing.assert_allclose(
        signal_report.measure(model, IMAGES, LABELS, LOSS)[1], expected, rtol=1e-4
    )


def test_report_is_written_as_table_json_and_picture(tmp_path):
    found = [
        signal_report.BlockSignal(f"stage1_block{i}", 0.1 * i, 10.0**i, 10.0**-i) for i in (1, 2, 3)
    ]
    signal_report.write(found, "a title", tmp_path / "signal.json", tmp_path / "signal.png")
    assert json.loads((tmp_path / "signal.json").read_text())[1]["variance"] == 100.0
    assert (tmp_path / "signal.png").read_bytes().startswith(b"\x89PNG")
    assert signal_report.table(found).splitlines()[2].split() == [
        "stage1_block2",
        "0.2",
        "100",
        "0.01",
    ]


def test_a_signal_without_gradients_is_drawn_too(tmp_path):
    found = [signal_report.BlockSignal(f"stage1_block{b}", 0.1, 1.0, 0.0) for b in (1, 2)]
    signal_report.write(found, "no gradients", tmp_path / "signal.json", tmp_path / "signal.png")
    assert (tmp_path / "signal.png").read_bytes().startswith(b"\x89PNG")
