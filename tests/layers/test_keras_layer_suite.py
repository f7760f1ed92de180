"""Keras' own layer test for each class: serialization, calls, a fit step, mixed precision."""

import numpy as np
import pytest
from keras.src.testing import (
    TestCase,
)  # Not exported: the suite that Keras tests its own layers with.

from keras_wn import layers

pytestmark = [
    # The suite itself feeds `fit` from a generator, and trains layers without weights.
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed"),
    pytest.mark.filterwarnings("ignore:The model does not have any trainable weights"),
]

# Layer class, arguments, shape of the input, of the output, trainable variables.
CASES = {
    "WNDense": (layers.WNDense, {"units": 3}, (2, 4), (2, 3), 3),
    "WNDense_strict": (layers.WNDense, {"units": 3, "use_gain": False}, (2, 4), (2, 3), 2),
    "WNConv2D": (layers.WNConv2D, {"filters": 3, "kernel_size": 2}, (2, 5, 5, 4), (2, 4, 4, 3), 3),
    "WNConv2D_ones": (
        layers.WNConv2D,
        {
            "filters": 3,
            "kernel_size": 2,
            "padding": "same",
            "gain_initializer": "ones",
            "use_bias": False,
        },
        (2, 5, 5, 4),
        (2, 5, 5, 3),
        2,
    ),
    "WNConv1D": (
        layers.WNConv1D,
        {"filters": 3, "kernel_size": 2, "padding": "causal"},
        (2, 5, 4),
        (2, 5, 3),
        3,
    ),
    "WNConv3D": (
        layers.WNConv3D,
        {"filters": 3, "kernel_size": 2},
        (2, 4, 4, 4, 2),
        (2, 3, 3, 3, 3),
        3,
    ),
    "WNConv1DTranspose": (
        layers.WNConv1DTranspose,
        {"filters": 3, "kernel_size": 2},
        (2, 5, 4),
        (2, 6, 3),
        3,
    ),
    "WNConv2DTranspose": (
        layers.WNConv2DTranspose,
        {"filters": 3, "kernel_size": 2},
        (2, 5, 5, 4),
        (2, 6, 6, 3),
        3,
    ),
    "WNConv3DTranspose": (
        layers.WNConv3DTranspose,
        {"filters": 3, "kernel_size": 2},
        (2, 4, 4, 4, 2),
        (2, 5, 5, 5, 3),
        3,
    ),
    "WNDepthwiseConv1D": (layers.WNDepthwiseConv1D, {"kernel_size": 2}, (2, 5, 4), (2, 4, 4), 3),
    "WNDepthwiseConv2D": (
        layers.WNDepthwiseConv2D,
        {"kernel_size": 2},
        (2, 5, 5, 4),
        (2, 4, 4, 4),
        3,
    ),
    "WNSeparableConv1D": (
        layers.WNSeparableConv1D,
        {"filters": 3, "kernel_size": 2},
        (2, 5, 4),
        (2, 4, 3),
        5,
    ),
    "WNSeparableConv2D": (
        layers.WNSeparableConv2D,
        {"filters": 3, "kernel_size": 2},
        (2, 5, 5, 4),
        (2, 4, 4, 3),
        5,
    ),
    "WNEinsumDense": (
        layers.WNEinsumDense,
        {"equation": "abc,cde->abde", "output_shape": (5, 2, 6), "bias_axes": "e"},
        (2, 5, 4),
        (2, 5, 2, 6),
        3,
    ),
    "NormPropDense": (layers.NormPropDense, {"units": 3}, (2, 4), (2, 3), 3),
    "NormPropConv2D": (
        layers.NormPropConv2D,
        {"filters": 3, "kernel_size": 2},
        (2, 5, 5, 4),
        (2, 4, 4, 3),
        3,
    ),
    "NormalizedReLU": (layers.NormalizedReLU, {"negative_slope": 0.1}, (2, 4), (2, 4), 0),
    "TReLU": (layers.TReLU, {"alpha_initializer": "ones"}, (2, 5, 4), (2, 5, 4), 1),
    "ScaledAdd": (layers.ScaledAdd, {"scale": 0.5}, ((2, 4), (2, 4)), (2, 4), 0),
    "MeanOnlyBatchNormalization": (
        layers.MeanOnlyBatchNormalization,
        {"momentum": 0.5},
        (2, 5, 4),
        (2, 5, 4),
        1,
    ),
    "BoundedWNConv2D": (
        layers.BoundedWNConv2D,
        {"filters": 3, "kernel_size": 2},
        (2, 5, 5, 4),
        (2, 4, 4, 3),
        2,
    ),
    "JoinWeights": (
        layers.JoinWeights,
        {"channels": 3, "branch_initializer": "ones"},
        (2, 4),
        ((3,), (3,)),
        2,
    ),
    "WeightedAdd": (
        layers.WeightedAdd,
        {"branch_initializer": "ones"},
        ((2, 4), (2, 4)),
        (2, 4),
        2,
    ),
}

# Their other variables: a moving mean, rho.
NOT_TRAINED = {"MeanOnlyBatchNormalization": 1, "BoundedWNConv2D": 1}


@pytest.mark.parametrize("name", CASES)
def test_keras_layer_suite(name):
    layer_class, arguments, input_shape, output_shape, trainable = CASES[name]
    TestCase().run_layer_test(
        layer_class,
        init_kwargs=arguments,
        input_shape=input_shape,
        expected_output_shape=output_shape,
        expected_num_trainable_weights=trainable,
        expected_num_non_trainable_weights=NOT_TRAINED.get(name, 0),
        expected_num_losses=0,
        supports_masking=np.isin(
            layer_class.__name__,
            ["WNDense", "NormPropDense", "NormalizedReLU", "TReLU", "MeanOnlyBatchNormalization"],
        ).item(),
    )


def test_keras_layer_suite_embedding():
    # Apart: its input is integers.
    TestCase().run_layer_test(
        layers.WNEmbedding,
        init_kwargs={"input_dim": 6, "output_dim": 3, "mask_zero": True},
        input_shape=(2, 4),
        input_dtype="int32",
        expected_output_shape=(2, 4, 3),
        expected_num_trainable_weights=2,
        expected_num_non_trainable_weights=0,
        expected_num_losses=0,
        supports_masking=True,
    )
