"""The variance that ResNet-50 carries from block to block at the start, for each method."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_wn import methods
from keras_wn.models import ResNet50
from tests.helpers import to_numpy

NOISE = np.random.default_rng(0).normal(size=(16, 64, 64, 3)).astype("float32")


def variances(name, join=None, **options):
    """Variance after each of ResNet-50's 16 joins at the start, in training mode."""
    card = dataclasses.replace(methods.get(name), **options)
    model = ResNet50(method=card, input_shape=NOISE.shape[1:], classes=10, join=join)
    if card.initialize:
        card.initialize(model, NOISE)
    joins = [layer.output for layer in model.layers if layer.name.endswith("_join")]
    outputs = keras.Model(model.input, joins)(NOISE, training=True)
    return [float(np.var(to_numpy(y), axis=(0, 1, 2)).mean()) for y in outputs]


# Post-sum variances at blocks 1 and 16 as first measured for this design: bn and wn 2.0 and 2.0;
# none 3 and 1e5; normprop with the plain sum 1 and 9e7, with 1/sqrt(2) 0.55 and 0.69; strict WN
# with the plain sum 0.45 and 0.51, with 1/sqrt(2) 0.22 and 6e-6.
def test_variance_without_normalization_explodes():
    found = variances("none")
    assert 1 < found[0] < 10 and found[-1] > 1e4


def test_variance_with_bn_and_with_data_dependent_wn_stays_and_starts_alike():
    bn, wn = variances("bn"), variances("wn", branch_scale=1.0)
    assert abs(bn[0] - 2) < 0.05 and all(1.2 < v < 4 for v in bn)
    np.testing.assert_allclose(wn, bn, rtol=0.15)


@pytest.mark.slow
def test_variance_with_normprop_stays_at_its_join_and_explodes_with_the_plain_sum():
    assert all(0.15 < v < 4 for v in variances("normprop"))
    assert variances("normprop", join="sum")[-1] > 1e7


@pytest.mark.slow
def test_variance_with_wn_trelu_stays_at_its_join_and_vanishes_when_halved():
    assert all(0.1 < v < 1 for v in variances("wn_trelu"))
    assert variances("wn_trelu", join="rsqrt2")[-1] < 1e-4


def test_weighted_join_starts_as_its_shortcuts():
    found = variances("wn_trelu", join="weighted")
    # Within a stage the identity: the activation after a join changes it once, then no more.
    np.testing.assert_allclose(found[1:3], found[1], rtol=1e-5)


@pytest.mark.slow
def test_variance_with_wn_robust_grows_by_one_over_the_blocks_of_its_stage():
    found = variances("wn_robust")
    for first, blocks in ((0, 3), (3, 4), (7, 6), (13, 3)):
        stage = np.array(found[first : first + blocks])
        np.testing.assert_allclose(stage[1:] / stage[:-1], 1 + 1 / blocks, rtol=0.15)
    assert variances("wn_robust", join="rsqrt2")[-1] < 1e-3 * found[0]


@pytest.mark.slow
def test_variance_with_wn_mobn_is_that_of_its_shortcuts():
    found = variances("wn_mobn")
    # 1 at a projection, 0.34 after the ReLU that follows it: (1 - 1 / pi) / 2; branches add 0.01
    # each.
    for first, blocks in ((0, 3), (3, 4), (7, 6), (13, 3)):
        np.testing.assert_allclose(found[first], 1.01, rtol=0.02)
        np.testing.assert_allclose(found[first + 1 : first + blocks], 0.35, atol=0.03)


@pytest.mark.slow
def test_variance_with_bwn_stays_at_its_join_and_vanishes_when_halved():
    found = variances("bwn")
    assert all(0.3 < v / found[0] < 3 for v in found)
    assert variances("bwn", join="rsqrt2")[-1] < 1e-3 * found[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cwn", "ws"])
def test_variance_with_other_starts_from_statistics_stays(name):
    assert all(1.2 < v < 4 for v in variances(name, branch_scale=1.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gn", "nf", "fixup"])
def test_variance_with_branches_that_start_at_0_is_that_of_the_shortcuts(name):
    found = variances(name)
    for first, blocks in ((0, 3), (3, 4), (7, 6), (13, 3)):
        stage = np.array(found[first : first + blocks])
        # The activation after the first join of a stage changes it once, then no more.
        np.testing.assert_allclose(stage[1:], stage[1], rtol=1e-4)
        assert 0.2 < stage[1] / stage[0] <= 1.001
    halved = variances(name, join="rsqrt2")
    assert halved[-1] < 0.2 * found[-1]


# The translated ReLU halves the variance at each projection, whatever the join.
@pytest.mark.slow
@pytest.mark.parametrize(
    "name, lowest, highest, halved",
    [
        ("cwn_trelu", 4e-3, 0.6, 1e-6),
        ("cwn_trelu_skip", 3e-3, 0.6, 1e-6),
        ("nf_fold", 0.4, 1.2, 1e-4),
        ("sphere", 0.5, 1.2, 1e-4),
    ],
)
def test_variance_with_centered_cards_stays_at_their_join_and_vanishes_when_halved(
    name, lowest, highest, halved
):
    assert all(lowest < v < highest for v in variances(name))
    assert variances(name, join="rsqrt2")[-1] < halved


@pytest.mark.slow
def test_variance_with_rescale_falls_at_projections_alone():
    found = variances("rescale")
    for first, blocks in ((0, 3), (3, 4), (7, 6), (13, 3)):
        # The activation after the first join of a stage changes it once, then no more.
        stage = np.array(found[first + 1 : first + blocks])
        assert np.all(stage > 0.7 * stage[0]) and np.all(stage <= 1.05 * stage[0])
