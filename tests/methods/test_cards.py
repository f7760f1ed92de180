"""The fields that every method card must have, and the equations of each."""

import dataclasses

import keras
import numpy as np
import pytest

import keras_wn
from keras_wn import methods
from keras_wn.models import ResNet18, ResNet50, cifar_resnet
from keras_wn.training.optimizer import decayed_paths
from tests.helpers import filter_norms, gradients, to_numpy

NOISE = np.random.default_rng(0).normal(size=(32, 64, 64, 3)).astype("float32")


def test_unknown_method_is_refused_with_the_allowed_names():
    with pytest.raises(
        ValueError,
        match="Unknown method 'batchnorm'. Allowed: none, bn, wn, normprop, wn_trelu, wn_robust",
    ):
        methods.get("batchnorm")


def test_card_of_ones_own_is_taken_as_it_is():
    card = dataclasses.replace(methods.get("wn"), name="mine", join="rsqrt2")
    assert methods.get(card) is card
    model = ResNet18(method=card, input_shape=(32, 32, 3), classes=3)
    assert model.name == "resnet18_mine"
    assert isinstance(model.get_layer("stage1_block1_join"), keras_wn.layers.ScaledAdd)


@pytest.mark.parametrize("name", methods.names())
def test_card_is_complete(name):
    card = methods.get(name)
    assert card.name == name
    assert card.join in methods.JOINS and set(card.unstable_joins) <= set(methods.JOINS) - {
        card.join
    }
    lowest, highest = card.learning_rate_range
    assert 0 < lowest < highest and 0 < card.learning_rate < highest
    assert card.warmup_epochs >= 0 and card.weight_decay >= 0
    assert card.ours and card.references and card.scale_of_v


@pytest.mark.parametrize("name", methods.names())
def test_decay_reaches_directions_and_no_gain_bias_or_threshold(name):
    card = methods.get(name)
    model = cifar_resnet(14, method=name)
    names = decayed_paths(model, card.decay_on)
    decayed = [v for v in model.trainable_variables if v.path in names]
    spared = [v for v in model.trainable_variables if v.path not in names]
    assert all(len(v.shape) > 1 for v in decayed) and all(len(v.shape) < 2 for v in spared)
    assert len(decayed) == 16  # 15 convolutions and the classifier.


def test_bn_card_uses_the_studys_momentum_and_epsilon():
    model = ResNet18(method="bn", input_shape=(32, 32, 3), classes=10)
    found = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(found) == 20
    assert {(layer.momentum, layer.epsilon) for layer in found} == {(0.9, 1e-5)}


def test_wn_trelu_is_strict_everywhere_but_in_the_classifier():
    model = ResNet18(method="wn_trelu", input_shape=(32, 32, 3), classes=10)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras_wn.layers.WNConv2D)]
    assert len(convolutions) == 20 and all(c.g is None and not c.use_bias for c in convolutions)
    head = model.get_layer("logits")
    assert head.g is not None and head.use_bias


def test_place_names_the_roles_that_there_are():
    with pytest.raises(
        ValueError, match="role='first' is not allowed. Allowed: stem, inner, last, shortcut"
    ):
        methods.Place("first")
    for name, least in (("blocks", 1), ("network_blocks", 1), ("sums", 0)):
        allowed = f"{name}={least - 1} is not allowed. Allowed: {least} or more"
        with pytest.raises(ValueError, match=allowed):
            methods.Place("last", **{name: least - 1})


@pytest.mark.parametrize("name", ["wn_mobn", "bwn"])
def test_mean_only_batch_norm_follows_every_convolution_in_place_of_a_bias(name):
    model = ResNet18(method=name, input_shape=(32, 32, 3), classes=10)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras_wn.layers.WNConv2D)]
    assert len(convolutions) == 20 and not any(c.use_bias for c in convolutions)
    norms = [model.get_layer(f"{c.name}_bn") for c in convolutions]
    assert all(n.input is c.output for n, c in zip(norms, convolutions, strict=True))
    assert {(type(n), n.momentum) for n in norms} == {
        (keras_wn.layers.MeanOnlyBatchNormalization, 0.9)
    }


def test_wn_mobn_starts_with_standard_deviation_1_but_a_tenth_at_the_end_of_a_branch():
    model = keras_wn.models.cifar_resnet(8, method="wn_mobn")
    methods.get("wn_mobn").initialize(model, NOISE[:, :32, :32])
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras_wn.layers.MeanOnlyBatchNormalization)
    ]
    outputs = keras.Model(model.input, [layer.output for layer in norms])
    in_inference, in_training = (outputs(NOISE[:, :32, :32], training=t) for t in (False, True))
    assert len(norms) == 9
    for layer, y, trained in zip(norms, in_inference, in_training, strict=True):
        y, expected = to_numpy(y), 0.1 if layer.name.endswith("conv2_bn") else 1.0
        np.testing.assert_allclose(y.std(axis=(0, 1, 2)), expected, rtol=1e-3, err_msg=layer.name)
        np.testing.assert_allclose(y, to_numpy(trained), atol=1e-4)


def test_bwn_fixes_each_layers_norm_at_that_of_its_start():
    model = ResNet18(method="bwn", input_shape=(32, 32, 3), classes=10)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras_wn.layers.WNConv2D)]
    assert len(convolutions) == 20
    for layer in convolutions:
        rho = to_numpy(layer.g)
        assert np.all(rho == rho[0]) and not layer.g.trainable
        # To the paper's definition, the root of the mean square of the filters' norms.
        np.testing.assert_allclose(
            rho[0], np.sqrt(np.mean(filter_norms(layer.v) ** 2)), rtol=0.05, err_msg=layer.name
        )
    assert methods.get("bwn").weight_decay == 0


# Each layer's gain is sqrt(c channels / filters): c as in the paper.
def test_wn_robust_gains_are_the_papers():
    model = ResNet50(method="wn_robust", input_shape=(64, 64, 3), classes=10)
    blocks = {1: 3, 2: 4, 3: 6, 4: 3}
    found = [layer for layer in model.layers if isinstance(layer, keras_wn.layers.WNConv2D)]
    assert len(found) == 53
    for layer in found:
        factor = 2.0 if layer.name.endswith(("conv1", "conv2")) else 1.0
        if layer.name.endswith("conv3"):
            factor = 1 / blocks[int(layer.name[len("stage")])]
        expected = np.sqrt(factor * layer.kernel.shape[2] / layer.filters)
        np.testing.assert_allclose(to_numpy(layer.g), expected, rtol=1e-6, err_msg=layer.name)
        assert not np.any(to_numpy(layer.bias))


def test_wn_robust_has_orthogonal_filters_and_activations_in_branches_alone():
    model = keras_wn.models.cifar_resnet(8, method="wn_robust")
    v = to_numpy(model.get_layer("stage2_block1_conv1").v).reshape(-1, 32)
    np.testing.assert_allclose(v.T @ v, np.eye(32), atol=1e-5)
    activations = [layer.name for layer in model.layers if isinstance(layer, keras.layers.ReLU)]
    assert activations == [f"stage{stage}_block1_act1" for stage in (1, 2, 3)]
    # The whole net without what its branches add is linear in the image, up to the bias of the
    # classifier.
    for layer in model.layers:
        if layer.name.endswith("conv2"):
            layer.g.assign(np.zeros(layer.g.shape))
    x = NOISE[:2, :32, :32]
    np.testing.assert_allclose(to_numpy(model(-x)), -to_numpy(model(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "channels, filters, kernel_size", [(64, 64, 3), (256, 64, 1), (64, 256, 1), (16, 32, 3)]
)
def test_wn_robust_keeps_the_squared_norm_at_each_position(channels, filters, kernel_size):
    x = np.random.default_rng(0).normal(size=(2, 32, 32, channels)).astype("float32")
    convolution = methods.get("wn_robust").add_convolution
    for place, factor in (
        (methods.Place("stem"), 1),
        (methods.Place("inner", 4), 2),
        (methods.Place("last", 4), 1 / 4),
        (methods.Place("shortcut", 4), 1),
    ):
        inputs = keras.Input(x.shape[1:])
        y = to_numpy(
            keras.Model(inputs, convolution(inputs, filters, kernel_size, 1, place, "c"))(x)
        )
        # Away from the border, which sees zeros.
        ratio = np.mean(np.sum(y**2, axis=-1)[:, 1:-1, 1:-1]) / np.mean(np.sum(x**2, axis=-1))
        np.testing.assert_allclose(ratio, factor, rtol=0.05)


def test_normprop_gain_is_the_papers_but_1_at_the_end_of_a_branch():
    model = ResNet18(method="normprop", input_shape=(32, 32, 3), classes=10)
    gains = {
        layer.name: to_numpy(layer.g)[0]
        for layer in model.layers
        if hasattr(layer, "effective_kernel")
    }
    for name, gain in gains.items():
        expected = 1.0 if name.endswith("conv2") else 1 / 1.21
        np.testing.assert_allclose(gain, expected, rtol=1e-6, err_msg=name)
    assert all(
        np.allclose(filter_norms(c.v), 1)
        for c in model.layers
        if isinstance(c, keras_wn.layers.NormPropConv2D)
    )


def test_weighted_join_is_in_the_kernels_of_a_card_that_knows_it():
    inside = ResNet18("wn_trelu", (32, 32, 3), 10, join="weighted")
    at_join = ResNet18(
        dataclasses.replace(methods.get("wn_trelu"), scales_kernels=False),
        (32, 32, 3),
        10,
        join="weighted",
    )
    rng = np.random.default_rng(0)
    there = {
        variable.path.replace("_join/", "_join_weights/"): variable for variable in at_join.weights
    }
    for variable in inside.weights:
        # Of about the length that keeps the variance, and weights of about 1 for branch and
        # shortcut.
        value = (
            rng.uniform(0.5, 1.5, variable.shape)
            if "_join" in variable.path
            else to_numpy(variable)
        )
        variable.assign(value)
        there.pop(variable.path).assign(value)
    assert not there
    images = NOISE[:4, :32, :32]
    np.testing.assert_allclose(
        to_numpy(inside(images)), to_numpy(at_join(images)), rtol=1e-4, atol=1e-5
    )


def starts(name, **options):
    """A CIFAR ResNet of a method with options of its card, and noise to look at it with."""
    card = dataclasses.replace(methods.get(name), **options)
    model = cifar_resnet(14, method=card)
    if card.initialize:
        card.initialize(model, NOISE[:, :32, :32])
    return model


@pytest.mark.parametrize("name", ["bn", "wn", "wn_mobn", "cwn", "ws", "gn", "nf"])
def test_branch_scale_0_lets_blocks_without_a_projection_start_as_their_shortcut(name):
    model = starts(name, branch_scale=0.0)
    joins = [model.get_layer(f"stage{stage}_block2_join") for stage in (1, 2, 3)]
    pairs = keras.Model(model.input, [[join.input[1], join.output] for join in joins])
    for shortcut, joined in pairs(NOISE[:4, :32, :32], training=False):
        np.testing.assert_array_equal(to_numpy(joined), to_numpy(shortcut))


@pytest.mark.parametrize("name", ["wn", "wn_mobn", "cwn"])
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_branch_scale_is_the_deviation_of_a_branch_that_starts_from_data(name, scale):
    model = starts(name, branch_scale=scale)
    last = model.get_layer("stage2_block1_join").input[0]
    y = to_numpy(keras.Model(model.input, last)(NOISE[:, :32, :32]))
    np.testing.assert_allclose(y.std(axis=(0, 1, 2)), scale, rtol=1e-3)


def test_noise_follows_every_convolution_of_a_card_that_asks_for_it():
    model = starts("wn", noise=16)
    convolutions = [c for c in model.layers if isinstance(c, keras_wn.layers.WNConv2D)]
    found = [model.get_layer(f"{c.name}_noise") for c in convolutions]
    assert {layer.batch_size for layer in found} == {16}
    assert all(n.input is c.output for n, c in zip(found, convolutions, strict=True))
    x = NOISE[:8, :32, :32]
    assert not np.allclose(to_numpy(model(x, training=True)), to_numpy(model(x)), atol=1e-2)
    np.testing.assert_array_equal(to_numpy(model(x)), to_numpy(model(x)))


def test_cwn_is_wn_with_filters_that_sum_to_0():
    model = starts("cwn")
    convolutions = [c for c in model.layers if isinstance(c, keras_wn.layers.WNConv2D)]
    assert len(convolutions) == 15 and all(c.center and c.use_bias for c in convolutions)
    for layer in convolutions:
        np.testing.assert_allclose(
            to_numpy(layer.effective_kernel).sum(axis=(0, 1, 2)), 0, atol=1e-4
        )


def test_ws_kernels_have_mean_0_and_variance_1():
    model = starts("ws")
    convolutions = [c for c in model.layers if isinstance(c, keras_wn.layers.WNConv2D)]
    assert len(convolutions) == 15
    for layer in convolutions:
        w = to_numpy(layer.effective_kernel).reshape(-1, layer.filters)
        np.testing.assert_allclose(w.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(w.var(axis=0, ddof=1), 1, rtol=1e-4)
        assert not layer.g.trainable
        assert isinstance(model.get_layer(f"{layer.name}_gn"), keras.layers.GroupNormalization)


def test_gn_has_the_papers_groups_and_two_channels_in_a_group_at_least():
    model = ResNet18(method="gn", input_shape=(32, 32, 3), classes=10)
    found = [n for n in model.layers if isinstance(n, keras.layers.GroupNormalization)]
    assert len(found) == 20 and {(n.groups, n.epsilon) for n in found} == {(32, 1e-5)}
    gammas = {n.name: to_numpy(n.gamma)[0] for n in found}
    assert all(gamma == (0 if "conv2" in name else 1) for name, gamma in gammas.items())
    model = starts("gn")
    groups = {n.gamma.shape[0]: n.groups for n in model.layers if n.name.endswith("_gn")}
    assert groups == {16: 8, 32: 16, 64: 32}


@pytest.mark.parametrize("name", ["gn", "ws"])
def test_groups_that_do_not_divide_the_channels_are_refused(name):
    card = dataclasses.replace(methods.get(name), groups=24)
    with pytest.raises(
        ValueError, match=f"'{name}': groups=24: does not divide the 64 channels of 'stem_conv'"
    ):
        ResNet18(method=card, input_shape=(32, 32, 3), classes=10)


def test_nf_blocks_are_the_papers_function():
    model = starts("nf")
    alpha, factor = 0.2, 1 / 0.58382
    x = NOISE[:2, :32, :32]
    names = [f"stage1_block{block}_out" for block in (1, 2)]
    outputs = keras.Model(model.input, [model.get_layer(name).output for name in names])
    for layer in model.layers:
        if isinstance(layer, keras_wn.layers.SkipInit):
            layer.g.assign(0.5)
    h, expected = (to_numpy(y) for y in outputs(x))
    # Block 2 of the first stage: one branch has been added to the stem, whose variance is 1.
    y = factor * np.maximum(h, 0) / np.sqrt(1 + alpha**2)
    for number in (1, 2):
        layer = model.get_layer(f"stage1_block2_conv{number}")
        v = to_numpy(layer.v)
        w = (v - v.mean((0, 1, 2))) / (v.std((0, 1, 2)) * np.prod(v.shape[:3]) ** 0.5)
        y = to_numpy(keras.ops.conv(y.astype("float32"), w.astype("float32"), padding="same"))
        y = factor * np.maximum(y, 0) if number == 1 else y
    np.testing.assert_allclose(h + alpha * 0.5 * y, expected, rtol=1e-4, atol=1e-4)


def test_nf_counts_the_branches_since_the_last_projection():
    model = ResNet50(method="nf", input_shape=(32, 32, 3), classes=10)
    factor = 1 / np.sqrt((1 - 1 / np.pi) / 2)
    for name, sums in {
        "stage1_block1_conv1": 0,  # Behind the stem.
        "stage1_block1_shortcut": 0,
        "stage1_block2_conv1": 1,
        "stage1_block3_conv1": 2,
        "stage2_block1_conv1": 3,
        "stage2_block1_shortcut": 3,
        "stage2_block2_conv1": 1,
        "stage4_block1_conv1": 6,
        "stage4_block3_conv2": 0,  # Behind the activation of a convolution of variance 1.
    }.items():
        gain = to_numpy(model.get_layer(name).g)
        np.testing.assert_allclose(gain, factor / np.sqrt(1 + 0.04 * sums), rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(to_numpy(model.get_layer("stem_conv").g), 1, rtol=1e-6)


def test_fixup_starts_with_the_papers_deviations():
    model = ResNet50(method="fixup", input_shape=(32, 32, 3), classes=10)
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Conv2D):
            continue
        height, width, channels, filters = layer.kernel.shape
        std = np.sqrt(2 / (height * width * filters))
        if layer.name.endswith(("conv1", "conv2")):
            std *= 16 ** (-1 / 4)
        elif layer.name.endswith("conv3"):
            std = 0
        elif layer.name == "stem_conv":
            std = np.sqrt(1 / (3 * height * width * channels))
        np.testing.assert_allclose(to_numpy(layer.kernel).std(), std, rtol=0.03, err_msg=layer.name)
    assert not np.any(to_numpy(model(NOISE[:2, :32, :32])))
    multipliers = [m for m in model.layers if isinstance(m, keras_wn.layers.ScalarGain)]
    assert len(multipliers) == 16
    np.testing.assert_allclose([m.factor * to_numpy(m.g) for m in multipliers], 1, rtol=1e-6)


def test_fixup_scalars_take_a_tenth_of_the_learning_rate():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    model = ResNet18(method="fixup", input_shape=(32, 32, 3), classes=3)
    bias = model.get_layer("logits_bias_before")
    plain = keras_wn.layers.ScalarBias()
    steps = []
    for layer in (bias, plain):
        layer(x)
        before = to_numpy(layer(x))
        gradient = gradients(layer, x, np.ones_like(x))["bias"]
        layer.bias.assign(layer.bias - 0.01 * gradient)
        steps.append((to_numpy(layer(x)) - before).mean())
    np.testing.assert_allclose(steps[0], 0.1 * steps[1], rtol=1e-3)


def test_variance_of_nf_is_1_at_the_start_and_grows_by_the_square_of_alpha():
    model = starts("nf", branch_scale=1.0)
    outs = [layer.output for layer in model.layers if layer.name.endswith("_join")]
    found = [float(np.var(to_numpy(y))) for y in keras.Model(model.input, outs)(NOISE[:, :32, :32])]
    for stage in (found[0:2], found[2:4], found[4:6]):
        np.testing.assert_allclose(stage, [1.04, 1.08], rtol=0.35)
