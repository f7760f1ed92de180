"""TensorFlow's checkpoints, SavedModels and modules reach every variable of every layer."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_wn import layers
from keras_wn.layers import WeightNormalization
from tests.helpers import randomize, to_numpy
from tests.layers.cases import CASES, IMAGES, SERIES, TOKENS

if keras.backend.backend() != "tensorflow":
    pytest.skip("TensorFlow's checkpoints", allow_module_level=True)
import tensorflow as tf

WRAPPED = {
    "dense": (lambda: WeightNormalization(kl.Dense(3)), SERIES),
    "log_gain": (lambda: WeightNormalization(kl.Dense(3), log_gain=True), SERIES),
    "lstm": (lambda: WeightNormalization(kl.LSTM(3)), SERIES),
    "bidirectional": (lambda: WeightNormalization(kl.Bidirectional(kl.GRU(3))), SERIES),
    "cell": (lambda: kl.RNN(WeightNormalization(kl.LSTMCell(3))), SERIES),
    "time_distributed": (lambda: kl.TimeDistributed(layers.WNDense(3)), SERIES),
}
OTHERS = {
    "norm_prop_conv2d": (lambda: layers.NormPropConv2D(3, 2), IMAGES),
    "norm_prop_dense": (lambda: layers.NormPropDense(3), SERIES),
    "bounded_wn_conv2d": (lambda: layers.BoundedWNConv2D(3, 2), IMAGES),
    "mean_only": (lambda: layers.MeanOnlyBatchNormalization(), IMAGES),
    "trelu": (lambda: layers.TReLU(), IMAGES),
    "join_weights": (lambda: layers.JoinWeights(3), IMAGES),
    "log_gain": (lambda: layers.WNEmbedding(6, 4, log_gain=True), TOKENS),
}
MAKERS = {
    **{name: (lambda c=c, a=a: c(**a), x) for name, (c, a, x) in CASES.items()},
    **{f"wrapped_{name}": case for name, case in WRAPPED.items()},
    **{f"other_{name}": case for name, case in OTHERS.items()},
}


def built(name):
    make, x = MAKERS[name]
    layer = make()
    layer(x)
    return layer, x


@pytest.mark.parametrize("name", MAKERS)
def test_checkpoint_restores_every_variable(name, tmp_path):
    layer, _ = built(name)
    randomize(layer)
    path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / "checkpoint"))
    fresh, _ = built(name)
    tf.train.Checkpoint(layer=fresh).read(path).assert_consumed().assert_existing_objects_matched()
    # Not the random seeds of recurrent layers, which Keras does not let TensorFlow find in plain
    # layers either.
    assert len(fresh.weights) == len(layer.weights) > 0
    for variable, restored in zip(layer.weights, fresh.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(restored), to_numpy(variable), err_msg=variable.path)


def small_model():
    return keras.Sequential(
        [
            keras.Input((7, 4)),
            layers.WNConv1D(5, 3),
            WeightNormalization(kl.LSTM(3)),
            layers.WNDense(2),
        ]
    )


def test_saved_model_is_served(tmp_path):
    model = small_model()
    randomize(model)
    tf.saved_model.save(model, str(tmp_path / "saved"))
    served = tf.saved_model.load(str(tmp_path / "saved"))
    signature = served.signatures["serving_default"]
    (output,) = signature(tf.constant(SERIES)).values()
    np.testing.assert_allclose(output.numpy(), to_numpy(model(SERIES)), rtol=1e-5, atol=1e-6)


def test_module_that_holds_the_model_is_saved(tmp_path):
    class Server(tf.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        @tf.function(input_signature=[tf.TensorSpec((None, 7, 4))])
        def serve(self, x):
            return self.model(x)

    model = small_model()
    randomize(model)
    tf.saved_model.save(Server(model), str(tmp_path / "module"))
    served = tf.saved_model.load(str(tmp_path / "module"))
    output = served.serve(tf.constant(SERIES))
    np.testing.assert_allclose(output.numpy(), to_numpy(model(SERIES)), rtol=1e-5, atol=1e-6)


def test_checkpoint_manager_resumes_a_custom_loop(tmp_path):
    def start():
        keras.utils.set_random_seed(3)
        model, optimizer = small_model(), keras.optimizers.SGD(0.1, momentum=0.9)
        optimizer.build(model.trainable_variables)
        checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
        return (
            model,
            optimizer,
            tf.train.CheckpointManager(checkpoint, str(tmp_path), max_to_keep=2),
        )

    def train(model, optimizer, steps):
        for _ in range(steps):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(SERIES, training=True) - 1.0))
            variables = model.trainable_variables
            optimizer.apply_gradients(
                zip(tape.gradient(loss, [v.value for v in variables]), variables, strict=True)
            )

    model, optimizer, manager = start()
    train(model, optimizer, 3)
    manager.save()
    train(model, optimizer, 2)
    resumed, resumed_optimizer, manager = start()
    randomize(resumed)
    manager.checkpoint.restore(manager.latest_checkpoint).assert_consumed()
    train(resumed, resumed_optimizer, 2)
    for variable, other in zip(model.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(other), to_numpy(variable), err_msg=variable.path)
