"""Folds batch normalization by `fold(model, fold_bn=True)`."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import keras_wn
from keras_wn import layers
from tests.helpers import randomize, to_numpy

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 8, 8, 3)).astype("float32")


def kernels_normalized(model):
    return [
        x
        for x in model._flatten_layers()
        if isinstance(x, layers.WeightNormalization) or hasattr(x, "effective_kernel")
    ]


def with_batch_norm():
    """Batch normalization after each kind of layer.

    It must stay after an activation, and where other layers take the same output.
    """
    x = inputs = keras.Input((8, 8, 3))
    x = kl.BatchNormalization(epsilon=1e-5)(kl.Conv2D(4, 3, use_bias=False)(x))
    x = kl.ReLU()(x)
    x = kl.BatchNormalization(scale=False)(layers.WNConv2D(4, 3, padding="same")(x))
    x = kl.BatchNormalization(center=False)(kl.Conv2DTranspose(5, 2)(x))
    x = kl.BatchNormalization()(kl.DepthwiseConv2D(2, depth_multiplier=2)(x))
    x = kl.BatchNormalization()(kl.SeparableConv2D(6, 2)(x))
    nested = keras.Sequential([kl.Conv2D(6, 2, padding="same"), kl.BatchNormalization(), kl.ReLU()])
    x = kl.Add()([x, nested(x)])
    after_activation = kl.BatchNormalization()(kl.Conv2D(6, 1, activation="relu")(x))
    taken_twice = kl.Conv2D(6, 1)(after_activation)
    x = kl.Add()([taken_twice, kl.BatchNormalization()(taken_twice)])
    x = kl.BatchNormalization()(kl.Dense(3)(kl.GlobalAveragePooling2D()(x)))
    return keras.Model(inputs, x, name="with_batch_norm")


def test_fold_bn_keeps_the_outputs_and_the_batch_norms_that_cannot_fold():
    model = with_batch_norm()
    for layer in model._flatten_layers():
        if isinstance(layer, kl.BatchNormalization):
            for variable in layer.variables:
                variable.assign(RNG.uniform(0.5, 1.5, variable.shape))
    folded = keras_wn.fold(model, fold_bn=True)

    def norms(model):
        return sum(isinstance(layer, kl.BatchNormalization) for layer in model._flatten_layers())

    assert (norms(model), norms(folded), norms(keras_wn.fold(model))) == (9, 2, 9)
    assert not kernels_normalized(folded) and folded.name == "with_batch_norm"
    np.testing.assert_allclose(
        to_numpy(folded(IMAGES)), to_numpy(model(IMAGES)), rtol=1e-4, atol=1e-5
    )


def test_fold_bn_of_a_resnet_leaves_none():
    model = keras_wn.models.cifar_resnet(8, method="bn")
    x = RNG.normal(size=(2, 32, 32, 3)).astype("float32")
    folded = keras_wn.fold(model, fold_bn=True)
    assert not any(isinstance(layer, kl.BatchNormalization) for layer in folded._flatten_layers())
    np.testing.assert_allclose(to_numpy(folded(x)), to_numpy(model(x)), rtol=1e-3, atol=1e-4)


def test_fold_bn_takes_mean_only_batch_norm_into_the_bias_alone():
    norm = layers.MeanOnlyBatchNormalization
    x = inputs = keras.Input((8, 8, 3))
    x = kl.ReLU()(norm()(kl.Conv2D(4, 3, use_bias=False)(x)))
    x = kl.ReLU()(norm()(layers.BoundedWNConv2D(4, 3, padding="same")(x)))
    model = keras.Model(inputs, norm()(kl.Dense(2, activation="relu")(x)))
    for layer in model.layers:
        randomize(layer)
    folded = keras_wn.fold(model, fold_bn=True)
    # The one after an activation stays.
    assert sum(isinstance(layer, norm) for layer in folded.layers) == 1 and not kernels_normalized(
        folded
    )
    np.testing.assert_array_equal(
        to_numpy(folded.layers[1].kernel), to_numpy(model.layers[1].kernel)
    )
    np.testing.assert_allclose(
        to_numpy(folded(IMAGES)), to_numpy(model(IMAGES)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("method", ["wn_mobn", "bwn"])
def test_fold_bn_leaves_no_mean_only_batch_norm_in_a_resnet(method):
    model = keras_wn.models.cifar_resnet(8, method=method)
    for layer in model.layers:
        if isinstance(layer, layers.MeanOnlyBatchNormalization):
            randomize(layer)
    x = RNG.normal(size=(2, 32, 32, 3)).astype("float32")
    folded = keras_wn.fold(model, fold_bn=True)
    assert not any(isinstance(layer, layers.MeanOnlyBatchNormalization) for layer in folded.layers)
    np.testing.assert_allclose(to_numpy(folded(x)), to_numpy(model(x)), rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow",
    reason="TensorFlow has no channels-first convolution on a CPU",
)
def test_fold_bn_channels_first():
    model = keras.Sequential(
        [
            keras.Input((3, 8, 8)),
            kl.Conv2D(4, 3, data_format="channels_first"),
            kl.BatchNormalization(axis=1),
        ]
    )
    randomize(model.layers[0])
    x = IMAGES.transpose(0, 3, 1, 2)
    folded = keras_wn.fold(model, fold_bn=True)
    assert len(folded.layers) == 1
    np.testing.assert_allclose(to_numpy(folded(x)), to_numpy(model(x)), rtol=1e-4, atol=1e-5)
