"""SGD with L2 decay: its equation, and the variables that it acts on."""

import keras
import numpy as np
import pytest

import keras_wn
from keras_wn.training.optimizer import SGDL2, decayed_paths


def test_is_sgd_on_the_loss_plus_half_l2_times_the_square():
    start = np.array([1.0, -2.0], "float32")
    ours = [keras.Variable(start, name="kernel"), keras.Variable(start, name="bias")]
    plain = [keras.Variable(start, name="kernel"), keras.Variable(start, name="bias")]
    optimizer = SGDL2(l2=0.5, decayed=("kernel",), learning_rate=0.1, momentum=0.9)
    reference = keras.optimizers.SGD(learning_rate=0.1, momentum=0.9)
    gradient = np.array([0.3, 0.1], "float32")
    for _ in range(3):
        optimizer.apply([keras.ops.array(gradient)] * 2, ours)
        reference.apply([gradient + 0.5 * plain[0].numpy(), keras.ops.array(gradient)], plain)
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
    assert np.any(ours[0].numpy() != ours[1].numpy())


def test_negative_decay_is_refused():
    with pytest.raises(ValueError, match="l2=-1.0 is not allowed"):
        SGDL2(l2=-1.0)


def test_is_saved():
    copy = keras.optimizers.deserialize(
        keras.optimizers.serialize(SGDL2(0.5, ("kernel",), momentum=0.9))
    )
    assert (float(copy.l2), copy.decayed, copy.momentum) == (0.5, ("kernel",), 0.9)


@pytest.mark.parametrize(
    "norm, on_v, on_v_and_g, on_w",
    [
        # Of one convolution (v, g or gamma, bias or beta) and the classifier.
        ("none", {"kernel"}, {"kernel"}, {"kernel"}),
        ("bn", {"kernel"}, {"kernel", "gamma"}, {"kernel"}),
        ("wn", {"kernel"}, {"kernel", "kernel_g"}, {"kernel_g"}),
        ("wn_trelu", {"kernel"}, {"kernel"}, set()),
        ("nf", {"kernel"}, {"kernel", "kernel_g"}, {"kernel_g"}),
    ],
)
def test_decay_acts_on_what_it_is_told(norm, on_v, on_v_and_g, on_w):
    model = keras_wn.models.cifar_resnet(8, method=norm)
    for decay_on, expected in {"v": on_v, "v_and_g": on_v_and_g, "w": on_w}.items():
        paths = decayed_paths(model, decay_on)
        of_stem = {path.split("/")[1] for path in paths if path.startswith("stem")}
        assert of_stem == expected, decay_on
        assert "logits/bias" not in paths
        has_gain = norm == "wn_trelu"
        assert ("logits/kernel" in paths) == (not has_gain or decay_on != "w")
        assert ("logits/kernel_g" in paths) == (has_gain and decay_on != "v")
        assert ("stage1_block1_conv2_skip/g" in paths) == (norm == "nf" and decay_on == "v_and_g")


def test_a_path_names_one_variable_alone():
    model = keras_wn.models.cifar_resnet(8, method="wn")
    optimizer = SGDL2(1.0, ["stem_conv/kernel"], learning_rate=0.1)
    before = {v.path: keras.ops.convert_to_numpy(v) for v in model.trainable_variables}
    optimizer.apply(
        [keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables
    )
    for v in model.trainable_variables:
        factor = 0.9 if v.path == "stem_conv/kernel" else 1.0
        np.testing.assert_allclose(v.numpy(), factor * before[v.path], rtol=1e-6)
