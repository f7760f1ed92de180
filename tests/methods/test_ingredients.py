"""What each ingredient of a card adds to a network, and the compositions that no formula allows."""

import dataclasses
import math

import keras
import numpy as np
import pytest

import keras_wn
from keras_wn import methods
from keras_wn.methods import MethodCard, Place, ingredients
from keras_wn.models import ResNet18, ResNet50, cifar_resnet
from tests.helpers import filter_norms, to_numpy

NOISE = np.random.default_rng(0).normal(size=(16, 32, 32, 3)).astype("float32")


def composed(**fields):
    """A card of one's own, without a function."""
    return MethodCard(
        name="mine",
        title="mine",
        learning_rate=0.1,
        learning_rate_range=(0.1, 1.0),
        scale_of_v="",
        ours=(),
        references=(),
        **fields,
    )


def convolutions(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]


@pytest.mark.parametrize(
    "weights, center",
    [
        (name, center)
        for name, weights in ingredients.WEIGHTS.items()
        for center in (["no", "free", "always"] if weights.is_normalized else ["no", "free"])
    ],
)
def test_weights_are_the_formula_of_their_name(weights, center):
    formula = ingredients.WEIGHTS[weights]
    model = cifar_resnet(8, method=composed(weights=weights, center=center, branch_scale=0.5))
    for layer in convolutions(model):
        v = to_numpy(layer.kernel)
        g = 0.5 if layer.name.endswith("conv2") else 1.0
        w = to_numpy(getattr(layer, "effective_kernel", layer.kernel))
        centered = v - v.mean(axis=(0, 1, 2)) if center != "no" else v
        expected = centered if weights == "plain" else centered / filter_norms(centered)
        if formula.gain != "none":
            expected = g * expected
        np.testing.assert_allclose(w, expected, rtol=1e-4, atol=1e-5)
        if center == "free":
            np.testing.assert_allclose(v.sum(axis=(0, 1, 2)), 0, atol=1e-4)
    trained = {v.name for v in model.trainable_variables}
    assert ("kernel_g" in trained) == (formula.gain == "trained")


def test_projected_filters_keep_the_norms_of_their_start():
    model = cifar_resnet(8, method="sphere")
    before = [filter_norms(layer.kernel) for layer in convolutions(model)]
    model.compile(keras.optimizers.SGD(0.5), keras.losses.CategoricalCrossentropy(True))
    starts = [to_numpy(layer.kernel) for layer in convolutions(model)]
    model.fit(NOISE, np.eye(10)[np.arange(16) % 10], epochs=2, verbose=0)
    for layer, norm, start in zip(convolutions(model), before, starts, strict=True):
        np.testing.assert_allclose(filter_norms(layer.kernel), norm, rtol=1e-5)
        assert not np.allclose(to_numpy(layer.kernel), start, atol=1e-3)


@pytest.mark.parametrize("name", ingredients.ACTIVATIONS)
def test_moments_of_activations_are_those_of_gaussian_inputs(name):
    # By the trapezoidal rule on a fine grid, which is exact to 1e-6 here.
    x = np.linspace(-12, 12, 240001)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * (x[1] - x[0])
    activation = ingredients.activation_of(name)
    y = to_numpy(activation.make("act")(x.astype("float32")[None, :, None]))[0, :, 0]
    mean = np.sum(density * y)
    np.testing.assert_allclose(activation.mean, mean, atol=1e-4)
    deviation = math.sqrt(np.sum(density * (y - mean) ** 2))
    np.testing.assert_allclose(activation.deviation, deviation, rtol=1e-4)


def test_an_activation_of_keras_may_be_named():
    model = cifar_resnet(8, method=composed(activation="silu", main_activation="identity"))
    act = model.get_layer("stage1_block1_act1")
    assert isinstance(act, keras.layers.Activation) and act.activation is keras.activations.silu
    assert isinstance(model.get_layer("stem_out"), keras.layers.Identity)


@pytest.mark.parametrize("t", [0.2, 0.5])
def test_joins_are_their_formulas(t):
    card = composed(branch_share=t)
    rng = np.random.default_rng(0)
    branch, shortcut = rng.normal(size=(2, 4, 4, 3)).astype("float32")
    # The fourth of six blocks: before it, the path is the sum of 6 + 3 - 1 terms.
    place, k = Place("last", network_blocks=6, block=3), 9
    length = math.sqrt(t**2 + (1 - t) ** 2)
    expected = {
        "sum": branch + shortcut,
        "rsqrt2": (branch + shortcut) / math.sqrt(2),
        "weighted": shortcut,  # At its start.
        "rescaled": branch / math.sqrt(6) + shortcut * math.sqrt((k - 1) / k),
        "spherical": (t * branch + (1 - t) * shortcut) / length,
    }
    assert set(expected) == set(methods.JOINS)
    for name, join in methods.JOINS.items():
        y = to_numpy(join.make(card, place, name)([branch, shortcut]))
        np.testing.assert_allclose(y, expected[name], rtol=1e-5, err_msg=name)


def test_cosine_classifier_is_a_scale_times_the_cosine():
    rng = np.random.default_rng(0)
    inputs = keras.Input((5,))
    card = composed(classifier="cosine")
    model = keras.Model(inputs, card.add_classifier(inputs, 3, "logits"))
    x = rng.normal(size=(4, 5)).astype("float32")
    w = to_numpy(model.get_layer("logits_cosine").v)
    model.get_layer("logits").g.assign(7.0)
    cosines = x @ w / np.linalg.norm(x, axis=1, keepdims=True) / np.linalg.norm(w, axis=0)
    np.testing.assert_allclose(to_numpy(model(x)), 7 * cosines, rtol=1e-5, atol=1e-5)


def test_scalar_in_the_kernel_is_the_scalar_after_it():
    card = dataclasses.replace(methods.get("cwn_trelu_skip"), branch_factor=0.2)
    inside = cifar_resnet(8, method=card)
    after = cifar_resnet(8, method=dataclasses.replace(card, scales_kernels=False))
    scalars = [layer for layer in inside.layers if layer.name.endswith("_scalar")]
    assert len(scalars) == 3 and not any("_scalar" in layer.name for layer in after.layers)
    for layer in scalars:
        layer.g.assign(1.5)
    for variable in after.weights:
        name = variable.path.replace("_skip/", "_scalar/")
        (source,) = [v for v in inside.weights if v.path == name]
        variable.assign(to_numpy(source))
    np.testing.assert_allclose(
        to_numpy(after(NOISE)), to_numpy(inside(NOISE)), rtol=1e-4, atol=1e-5
    )


def test_rescale_starts_with_variance_1_of_the_papers_terms():
    model = ResNet50(method="rescale", input_shape=(32, 32, 3), classes=10)
    blocks = [layer.name[: -len("_join")] for layer in model.layers if "_join" in layer.name]
    for done, block in enumerate(blocks):
        k = 16 + done
        r, s = model.get_layer(f"{block}_join").scale
        np.testing.assert_allclose([r**2, s**2], [1 / 16, (k - 1) / k])
        # Each convolution of the branch multiplies the variance, and the product is L / k.
        share = 1.0
        for number in (1, 2, 3):
            kernel = to_numpy(model.get_layer(f"{block}_conv{number}").kernel)
            share *= kernel.var() * np.prod(kernel.shape[:3]) / 2
        np.testing.assert_allclose(share, 16 / k, rtol=0.05)
        np.testing.assert_allclose(r**2 * 16 / k + s**2, 1)


def test_rescale_starts_biases_at_minus_the_means():
    model = cifar_resnet(14, method="rescale")
    methods.get("rescale").initialize(model, NOISE)
    outputs = keras.Model(model.input, [layer.output for layer in convolutions(model)])
    for layer, y in zip(convolutions(model), outputs(NOISE), strict=True):
        mean = to_numpy(y).mean(axis=(0, 1, 2))
        np.testing.assert_allclose(mean, 0, atol=1e-4, err_msg=layer.name)


def test_nf_fold_is_nf_with_the_scalars_in_the_gains():
    folded, plain = cifar_resnet(14, method="nf_fold"), cifar_resnet(14, method="nf")
    for layer in convolutions(folded):
        other = plain.get_layer(layer.name)
        assert not layer.center and other.center
        other.v.assign(to_numpy(layer.v))
        gain = to_numpy(other.g)
        if layer.name.endswith("conv2"):
            assert not np.any(to_numpy(layer.g))
            plain.get_layer(f"{layer.name}_skip").g.assign(0.5)
            gain = 0.2 * 0.5 * gain
        layer.g.assign(gain)
    plain.get_layer("logits").set_weights(folded.get_layer("logits").get_weights())
    np.testing.assert_allclose(
        to_numpy(folded(NOISE)), to_numpy(plain(NOISE)), rtol=1e-4, atol=1e-4
    )


def test_sphere_keeps_the_variance_of_every_block():
    model = cifar_resnet(20, method="sphere")
    joins = [layer.output for layer in model.layers if layer.name.endswith("_join")]
    for y in keras.Model(model.input, joins)(NOISE):
        np.testing.assert_allclose(to_numpy(y).var(), 1, rtol=0.4)
    norms = {layer.name: filter_norms(layer.kernel).ravel()[0] for layer in convolutions(model)}
    deviation = math.sqrt((1 - 1 / math.pi) / 2)
    for name, norm in norms.items():
        expected = 1.0 if name == "stem_conv" else 1 / deviation
        np.testing.assert_allclose(norm, expected, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"weights": "wnn"}, "weights='wnn': unknown. Allowed: plain, wn, fixed, strict, proj"),
        ({"activation": "rellu"}, "activation='rellu': unknown. Allowed: relu, scaled,"),
        ({"initialize": "gain"}, "initialize='gain': unknown. Allowed: gains, biases"),
        ({"center": "always"}, "center='always': the formula of plain weights has no mean"),
        (
            {"weights": "projected", "center": "always"},
            "center='always': the formula of projected weights has no mean",
        ),
        (
            {"weights": "strict", "initialize": "gains"},
            "weights='strict': the start from data has no gain to set. Allowed: wn, fixed",
        ),
        (
            {"weights": "projected", "initialize": "gains"},
            "weights='projected': the start from data sets a gain per filter, which undoes",
        ),
        (
            {"weights": "projected", "normalization": "batch"},
            "weights='projected': the normalization has a gain per filter, which undoes",
        ),
        ({"weights": "strict", "unit_v": True}, "unit_v=True: strict weights have no trained gain"),
        (
            {"weights": "projected", "branch_scale": 0.0},
            "branch_scale=0.0: with projected weights, whose norms are constant, branches stay 0",
        ),
        ({"branch_share": 1.0}, "branch_share=1.0: not allowed. Allowed: a number between 0 and 1"),
        ({"branch_scale": -1.0}, "branch_scale=-1.0: not allowed. Allowed: 0 or more"),
        ({"branch_factor": 0.0}, "branch_factor=0.0: not allowed. Allowed: a number above 0"),
        ({"agc": math.nan}, "agc=nan: not allowed. Allowed: 0 or more"),
        (
            {"weights": "wn", "branch_scale": 0.0, "agc": 0.1},
            "agc=0.1: the gains at the end of each branch start at 0, so that there is no norm",
        ),
        (
            {"normalization": "group", "branch_scale": 0.0, "agc": 0.1},
            "agc=0.1: the gammas at the end of each branch start at 0",
        ),
        ({"classifier": "zeros", "agc": 0.1}, "agc=0.1: the classifier starts at 0"),
        (
            {"activation": "silu", "weights": "wn", "gain_start": "keeping"},
            "activation='silu': the deviation after silu is not known",
        ),
    ],
)
def test_composition_that_no_formula_allows_is_refused_in_one_line(fields, message):
    with pytest.raises(ValueError) as error:
        composed(**fields)
    assert str(error.value).startswith(f"MethodCard 'mine': {message}")
    assert "\n" not in str(error.value) and "Allowed: " in str(error.value)


@pytest.mark.parametrize("center", ["free", "always"])
def test_centered_filters_of_one_entry_are_refused(center):
    card = composed(weights="wn", center=center)
    with pytest.raises(ValueError, match=f"center='{center}': the filters of 'c' have one entry"):
        card.add_convolution(keras.Input((8, 8, 1)), 4, 1, 1, Place("inner"), "c")
    card.add_convolution(keras.Input((8, 8, 1)), 4, 3, 1, Place("inner"), "c")


def test_units_that_start_at_0_may_be_spared():
    card = composed(weights="wn", branch_scale=0.0, agc=0.1, agc_on="kernels")
    assert not card.agc_conflict
    assert methods.get("nf_fold").agc_on == "kernels" and methods.get("nf_fold").agc > 0


def test_normprop_computes_its_activation_in_the_convolution():
    model = ResNet18(method="normprop", input_shape=(32, 32, 3), classes=10)
    assert isinstance(model.get_layer("stage1_block1_act1"), keras.layers.Identity)
    assert isinstance(
        model.get_layer("stage1_block1_conv1").activation, keras_wn.layers.NormalizedReLU
    )
    assert model.get_layer("stage1_block1_conv2").activation is keras.activations.linear
