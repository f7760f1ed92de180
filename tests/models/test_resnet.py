import keras
import numpy as np
import pytest

from keras_wn import methods, models
from keras_wn.layers import JoinWeights
from keras_wn.models import ResNet18, ResNet50, cifar_resnet
from tests.helpers import to_numpy
from tests.parameters import slow


def test_resnet50_with_bn_has_the_parameters_of_keras_applications_less_the_listed_differences():
    ours = ResNet50(method="bn", input_shape=(64, 64, 3), classes=1000)
    theirs = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=1000)
    biases = sum(
        layer.bias.shape[0] for layer in theirs.layers if isinstance(layer, keras.layers.Conv2D)
    )
    assert ours.count_params() == theirs.count_params() - biases == 25_610_152

    def kernel_shapes(model):
        return sorted(tuple(v.shape) for v in model.weights if v.name == "kernel")

    assert kernel_shapes(ours) == kernel_shapes(theirs)


@pytest.mark.parametrize(
    "depth, blocks, convolutions",
    [(18, 8, 20), (34, 16, 36), (50, 16, 53), slow(101, 33, 104), slow(152, 50, 155)],
)
def test_each_depth_has_its_blocks_and_convolutions(depth, blocks, convolutions):
    model = models.get(f"resnet{depth}")(method="none", input_shape=(32, 32, 3), classes=10)
    assert sum(layer.name.endswith("_join") for layer in model.layers) == blocks
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == convolutions
    # He et al. count the convolutions on the main path and the classifier, not the four (three)
    # projections.
    projections = sum(layer.name.endswith("_shortcut") for layer in model.layers)
    assert convolutions - projections + 1 == depth


def test_spatial_sizes_at_224_are_the_papers():
    model = ResNet50(method="none")
    sizes = [
        model.get_layer(name).output.shape[1:]
        for name in ("stem_out", "stem_pool", "stage1_block3_out")
    ]
    assert sizes == [(112, 112, 64), (56, 56, 64), (56, 56, 256)]
    sizes = [model.get_layer(f"stage{s}_block1_out").output.shape[1:] for s in (2, 3, 4)]
    assert sizes == [(28, 28, 512), (14, 14, 1024), (7, 7, 2048)]
    assert model.output.shape == (None, 1000)


@pytest.mark.parametrize("join", methods.JOINS)
def test_join_is_an_argument(join):
    model = ResNet18(method="wn", input_shape=(32, 32, 3), classes=10, join=join)
    layer = methods.JOINS[join].make(methods.get("wn"), methods.Place("last"), "any")
    assert type(model.get_layer("stage2_block1_join")) is type(layer)


def test_weighted_join_of_wn_trelu_is_a_sum_whose_weights_are_in_the_kernels():
    model = ResNet18(method="wn_trelu", input_shape=(32, 32, 3), classes=10, join="weighted")
    assert type(model.get_layer("stage2_block1_join")) is keras.layers.Add
    assert sum(isinstance(layer, JoinWeights) for layer in model.layers) == 8


@pytest.mark.parametrize("name", methods.names())
def test_saved_and_loaded_model_puts_out_the_same(name, tmp_path):
    model = cifar_resnet(14, method=name)
    rng = np.random.default_rng(0)
    for variable in model.weights:
        # Away from every initializer, and not so far that the outputs overflow; moving variances
        # stay positive.
        variable.assign(to_numpy(variable) * rng.uniform(0.5, 1.5, variable.shape) + 0.01)
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.all(np.isfinite(to_numpy(model(images))))
    np.testing.assert_array_equal(to_numpy(loaded(images)), to_numpy(model(images)))
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(theirs), to_numpy(ours))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"method": "bnn"}, "Unknown method 'bnn'. Allowed: none, bn"),
        (
            {"join": "add"},
            "Unknown join 'add'. Allowed: sum, rsqrt2, weighted, rescaled, spherical",
        ),
        ({"dropout": 1.0}, "dropout=1.0 is not allowed"),
        ({"classes": 0}, "classes=0 is not allowed"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResNet18(**arguments)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="Unknown model 'resnet19'. Allowed: resnet18"):
        models.get("resnet19")
    with pytest.raises(ValueError, match="Unknown ResNet depth 19. Allowed: 18, 34"):
        models.resnet(19)


def test_logits_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = ResNet18(method="wn_trelu", input_shape=(32, 32, 3), classes=10)
    logits = model(np.zeros((1, 32, 32, 3)))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert model.get_layer("stage1_block1_conv1").compute_dtype == "bfloat16"
