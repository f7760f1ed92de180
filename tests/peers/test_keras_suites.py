"""Keras' own tests of its layers, run on the classes of this package in their place.

In the weight-normalized classes g is ||v||, whatever a test assigns to the kernel, so that they
must do what the plain layers do: through the whole mechanism, with one more weight per kernel.
Gains of their own are tested in `tests/layers`.
"""

import types

import keras
import pytest
from keras.src import layers as keras_layers
from keras.src.layers.convolutional import (
    conv_test,
    conv_transpose_test,
    depthwise_conv_test,
    separable_conv_test,
)
from keras.src.layers.core import dense_test, einsum_dense_test, embedding_test
from keras.src.layers.normalization import group_normalization_test

from keras_wn.interop.weight_norm_model import SUBCLASSES
from keras_wn.layers import GroupNormalization, gains

pytestmark = [
    # The suites feed `fit` from generators.
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed"),
]


class _NormAsGain:
    """In place of a `Gain`: always ||v||."""

    def __init__(self, kernel):
        self._kernel = kernel

    @property
    def value(self):
        return gains.norm_of(self._kernel)

    def assign(self, g):
        """Follows v by itself."""


def _as_plain(subclass):
    class AsPlain(subclass):
        def kernels_and_gains(self):
            return [(kernel, _NormAsGain(kernel)) for kernel, _ in super().kernels_and_gains()]

        def set_weights(self, weights):
            plain = [variable for variable in self.weights if not variable.name.endswith("_g")]
            for variable, value in zip(plain, weights, strict=True):
                variable.assign(value)

    AsPlain.__name__ = AsPlain.__qualname__ = subclass.__name__
    return keras.saving.register_keras_serializable(package="as_plain")(AsPlain)


SWAPPED = {plain.__name__: _as_plain(subclass) for plain, subclass in SUBCLASSES.items()}
LAYERS = types.SimpleNamespace(
    **{**vars(keras_layers), **SWAPPED, "GroupNormalization": GroupNormalization}
)

# Tests that cannot hold, by a part of their names -> why.
SKIPPED = {
    "quantiz": "quantization is refused by name on weight-normalized layers",
    "int4": "quantization",
    "int8": "quantization",
    "gptq": "quantization",
    "awq": "quantization",
    "legacy_load": "weights of plain layers are carried over by weight_norm(model), "
    "and refused by name in a weights file",
    "test_dense_sparse": "asks for a sparse gradient of the kernel; v's is dense, "
    "since the norm sees every weight",
    "basics_embedding_1d": "its equation sums over no axis of the kernel, which is refused by name",
    "lora": "LoRA is refused by name on weight-normalized layers",
}


class _RealClasses:
    """Runs Keras' layer test on the real class, the rest on the subclass that acts as plain."""

    def run_layer_test(
        self, layer_cls, init_kwargs, *args, expected_num_trainable_weights=None, **kwargs
    ):
        if issubclass(layer_cls, tuple(SWAPPED.values())):
            layer_cls = layer_cls.__base__
            if expected_num_trainable_weights is not None:
                expected_num_trainable_weights += (
                    2 if "Separable" in layer_cls.__name__ else 1
                )  # A gain per kernel.
        super().run_layer_test(
            layer_cls,
            init_kwargs,
            *args,
            expected_num_trainable_weights=expected_num_trainable_weights,
            **kwargs,
        )


def _swap(module):
    """The module's test classes with `layers` in them meaning the swapped-in classes."""
    found = {}
    for name, test_class in vars(module).items():
        if (
            isinstance(test_class, type)
            and name.endswith("Test")
            and test_class.__module__ == module.__name__
        ):
            found[name] = type(
                f"Test{name}", (_RealClasses, test_class), {"_swapped_module": module}
            )
    return found


for _module in (
    conv_test,
    conv_transpose_test,
    depthwise_conv_test,
    separable_conv_test,
    dense_test,
    einsum_dense_test,
    embedding_test,
    group_normalization_test,
):
    globals().update(_swap(_module))


@pytest.fixture(autouse=True)
def _swapped_layers(request, monkeypatch):
    for part, reason in SKIPPED.items():
        if part in request.node.name:
            pytest.skip(reason)
    monkeypatch.setattr(request.cls._swapped_module, "layers", LAYERS)
