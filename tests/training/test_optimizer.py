import keras
import numpy as np
import pytest

from keras_wn.training.optimizer import SGDL2


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
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(SGDL2(0.5, ("kernel",), momentum=0.9)))
    assert (copy.l2, copy.decayed, copy.momentum) == (0.5, ("kernel",), 0.9)
