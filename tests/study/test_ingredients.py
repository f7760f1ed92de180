"""The factorial design of the ingredients, and effects that are known beforehand."""

import itertools
import math

import numpy as np
import pytest

from keras_wn.study.questions import ingredients
from keras_wn.study.table import TrialTable, frame
from keras_wn.study.trial_lists import TrialLinks
from keras_wn.training.config import TrainConfig
from tests.study.made_up import DATA, TINY, result

LETTERS = [factor.letter for factor in ingredients.FACTORS]


def levels(*letters):
    """The signs of a main effect, or of an interaction, over the compositions."""
    return np.array(
        [math.prod(c.levels[letter] for letter in letters) for c in ingredients.design()]
    )


def test_the_design_has_resolution_4():
    assert len({tuple(c.levels.values()) for c in ingredients.design()}) == 32
    mains = {letter: levels(letter) for letter in LETTERS}
    pairs = {pair: levels(*pair) for pair in itertools.combinations(LETTERS, 2)}
    for (a, first), (b, second) in itertools.combinations(mains.items(), 2):
        assert first @ second == 0, (a, b)
    for (a, first), (b, second) in itertools.product(mains.items(), pairs.items()):
        assert first @ second == 0, (a, b)
    mixed = {
        frozenset(("".join(a), "".join(b)))
        for (a, first), (b, second) in itertools.combinations(pairs.items(), 2)
        if first @ second
    }
    assert mixed == {frozenset(pair) for pair in (("CE", "FG"), ("CF", "EG"), ("CG", "EF"))}


def test_bn_with_centered_filters_and_nothing_else_is_a_composition():
    title = "centered filters, batch normalization"
    (found,) = [c for c in ingredients.design() if c.title == title]
    assert (found.method, found.options) == ("bn", (("center", "free"),))


def test_every_composition_is_one_that_trains():
    cards = []
    for composition in ingredients.design():
        config = TrainConfig(norm=composition.method, **dict(composition.options)).resolved()
        card = config.method
        cards.append((card, config.label_smoothing))
        assert card.center == ("free" if composition.levels["A"] > 0 else "no")
        assert card.normalization == ("batch" if composition.levels["B"] > 0 else "none")
        assert card.weights == ("strict" if composition.levels["C"] > 0 else "plain")
        assert card.agc == (0.1 if composition.levels["E"] > 0 else 0)
        assert card.branch_scalar == (composition.levels["F"] > 0)
    assert len({str(card) for card in cards}) == 32


def top1(spec, effects, base=0.8):
    """Top-1 of a trial whose ingredients have these effects, in points, at its best rate."""
    options, value = dict(spec.options), base
    has = {
        "A": "center" in options,
        "B": spec.method == "bn",
        "C": "weights" in options,
        "D": "activation" in options,
        "E": "agc" in options,
        "F": "branch_scalar" in options,
        "G": "label_smoothing" in options,
    }
    for word, effect in effects.items():
        sign = math.prod(1 if has[letter] else -1 for letter in word)
        value += sign * effect / 200
    # The second rate is the best one, and the seeds differ as a whole.
    return value - 0.1 * (spec.learning_rate != 0.2) + 0.01 * (spec.seed % 3)


@pytest.fixture
def trials_of(planner_of):
    """Function that makes the table of trials with these effects, without the first few trials."""

    def make(effects, noise=0.0, diverges=lambda spec: False, missing=0):
        settings = ingredients.Settings(rates=(0.1, 0.2, 0.4), seeds=3)
        planner = planner_of(methods=("none", "bn"), protocol=TINY.changed(settings))
        rng = np.random.default_rng(0)
        done = {}
        for spec in ingredients.plan(planner, {})[missing:]:
            status = "diverged" if diverges(spec) else "finished"
            done[spec.id] = result(spec, top1(spec, effects) + noise * rng.normal(), status)
        record = planner.protocol.record(DATA, planner.methods, ("ingredients",), {})
        return TrialTable(record, planner, done, (), frame(done.values(), record["planned"]))

    return make


def effects_of(trials):
    return ingredients.effects(ingredients.results(trials))


def test_effects_are_those_that_the_trials_were_made_with(trials_of):
    made = {"A": 2.0, "B": -1.0, "AB": 0.5, "CE": 0.25}
    found = effects_of(trials_of(made))
    assert len(found) == 7 + 18
    for effect in found:
        expected = made.get(effect.letters, 0.0)
        assert effect.difference.value == pytest.approx(expected, abs=1e-9), effect.letters
        assert effect.difference.error == pytest.approx(0, abs=1e-9)
    assert {e.letters: e.mixed for e in found if e.mixed} == {"CE": "FG", "CF": "EG", "CG": "EF"}


def test_intervals_hold_the_effect_as_often_as_they_say(trials_of):
    inside = []
    found = effects_of(trials_of({"A": 2.0}, noise=0.005))
    for effect in found:
        interval = effect.difference.interval(0.95)
        inside.append(interval.low <= (2.0 if effect.letters == "A" else 0.0) <= interval.high)
    assert effect.difference.freedom == 31 * 2 and np.mean(inside) > 0.8
    # 2 sqrt(variance / 96), in points.
    assert effect.difference.error == pytest.approx(2 * 0.5 / math.sqrt(96), rel=0.3)


def test_a_rate_at_which_a_seed_diverges_is_not_the_best(trials_of):
    trials = trials_of({}, diverges=lambda s: s.learning_rate == 0.2 and s.seed % 3 == 0)
    found = ingredients.results(trials)
    assert {r.rate for r in found} <= {0.1, 0.4} and {r.diverged for r in found} == {1}
    assert all(r.is_edge for r in found)


def test_the_section_comes_when_all_trials_are_done(trials_of):
    trials = trials_of({"A": 2.0})
    links = TrialLinks(trials, ["ingredients"])
    (section,) = ingredients.sections(trials, links)
    assert "exploratory" in section.title
    lead, figure, table = section.blocks
    assert "decides nothing" in lead.text
    assert len(figure.panels) == 2 and len(table.rows) == 32
    assert list(ingredients.sections(trials_of({}, missing=1), links)) == []


def test_without_both_methods_it_plans_nothing(planner_of):
    assert ingredients.plan(planner_of(methods=("bn", "wn")), {}) == []
