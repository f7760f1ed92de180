import keras
import numpy as np
import pytest

from keras_wn.training.diverged import StopDiverged, weights_are_finite


def model_of():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse", jit_compile=False)
    return model


@pytest.mark.parametrize("value, finite", [(1e30, True), (np.inf, False), (-np.inf, False), (np.nan, False)])
def test_one_number_decides(value, finite):
    model = model_of()
    kernel = model.layers[1].kernel
    kernel.assign(np.array([[0.0], [value], [0.0]], "float32"))
    assert weights_are_finite(model) == finite


def test_training_ends_after_the_epoch_whose_weights_are_not_finite_though_the_loss_is(capsys):
    model = model_of()

    class Poison(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.model.layers[0].bias.assign([np.nan] * 3)

    batch = np.ones((4, 2)), np.ones((4, 1))
    history = model.fit(*batch, epochs=5, verbose=0, callbacks=[Poison(), StopDiverged()])
    assert len(history.epoch) == 2 and np.all(np.isfinite(history.history["loss"]))
    assert "Epoch 2: weights that are not finite" in capsys.readouterr().out
