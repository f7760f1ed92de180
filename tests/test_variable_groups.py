import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn.layers import WeightNormalization, WNConv1D, WNDense
from tests.helpers import to_numpy

X = np.zeros((2, 6, 4), "float32")


def model():
    return keras.Sequential(
        [
            keras.Input((6, 4)),
            WNConv1D(5, 2, log_gain=True),
            kl.BatchNormalization(),
            WeightNormalization(kl.LSTM(3), weights=["recurrent_kernel"]),
            WNDense(3, use_gain=False),
            kl.Dense(2),
        ]
    )


def test_each_weight_is_in_one_group():
    net = model()
    groups = keras_wn.variable_groups(net)
    assert [v.name for v in groups.v] == ["kernel", "recurrent_kernel", "kernel"]
    assert [v.name for v in groups.g] == ["kernel_log_g", "recurrent_kernel_g"]
    assert [v.name for v in groups.bias] == ["bias"] * 4
    assert sorted(v.name for v in groups.other) == [
        "beta", "gamma", "kernel", "kernel", "moving_mean", "moving_variance",
    ]  # fmt: skip
    every = [v for group in groups for v in group]
    assert len(every) == len(net.weights) and {id(v) for v in every} == {id(v) for v in net.weights}


@pytest.mark.parametrize("kept", ["v", "g", "bias", "other"])
def test_decay_acts_on_one_group_alone(kept):
    net = model()
    groups = keras_wn.variable_groups(net)
    for variable in groups.bias:
        variable.assign(np.ones(variable.shape))
    before = {id(v): to_numpy(v).copy() for v in net.trainable_variables}
    optimizer = keras.optimizers.SGD(0.1, weight_decay=0.5)
    left_out = [v for name, group in groups._asdict().items() if name != kept for v in group]
    optimizer.exclude_from_weight_decay(var_list=left_out)
    optimizer.build(net.trainable_variables)
    optimizer.apply([keras.ops.zeros(v.shape) for v in net.trainable_variables])
    for name, group in groups._asdict().items():
        for variable in group:
            if variable.trainable:
                factor = 1 - 0.1 * 0.5 if name == kept else 1.0
                np.testing.assert_allclose(
                    to_numpy(variable), factor * before[id(variable)], rtol=1e-6, atol=1e-7
                )


def test_model_that_is_not_built_is_refused():
    with pytest.raises(ValueError, match="variable_groups: model 'u' is not built"):
        keras_wn.variable_groups(keras.Sequential([WNDense(3)], name="u"))
