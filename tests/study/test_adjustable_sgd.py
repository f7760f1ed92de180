import keras
import numpy as np
import pytest

from keras_wn.study.adjustable_sgd import AdjustableSGD
from keras_wn.training import schedules
from keras_wn.training.optimizer import SGDL2


def model_of(optimizer):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    model.compile(optimizer, loss="mse")
    return model


def trained(model, steps=6):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(4 * steps, 3)), generator.normal(size=(4 * steps, 2))
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    return model.get_weights()


@pytest.mark.parametrize("name", schedules.names())
def test_trains_as_the_runners_optimizer_and_again_after_other_settings(name):
    adjustable = model_of(AdjustableSGD(decayed=("kernel",), momentum=0.9, steps=8))
    start = adjustable.get_weights()
    for peak, l2 in ((0.1, 0.1), (0.02, 0.0), (0.1, 0.1)):
        schedule = schedules.build(name, peak=peak, total_steps=6, warmup_steps=2)
        adjustable.set_weights(start)
        for variable in adjustable.optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))
        adjustable.optimizer.adjust(keras.ops.convert_to_numpy(schedule(np.arange(6))), l2)
        expected = trained(model_of(SGDL2(l2, ("kernel",), learning_rate=schedule, momentum=0.9)))
        for ours, theirs in zip(trained(adjustable), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_the_step_is_compiled_once(monkeypatch):
    traces = []
    model = model_of(AdjustableSGD(momentum=0.9, steps=8))
    compute_loss = model.compute_loss
    monkeypatch.setattr(
        model, "compute_loss", lambda *args, **kwargs: traces.append(1) or compute_loss(*args, **kwargs)
    )
    for rate in (0.1, 0.01):
        model.optimizer.build(model.trainable_variables)
        model.optimizer.adjust(np.full(6, rate), 0.0)
        trained(model)
    assert len(traces) <= 2  # Keras' own symbolic build, and one trace.
