"""Draws figures: the methods are told apart, and nothing in a log stops them."""

import dataclasses
import math
import re

import matplotlib
import pytest

from keras_wn import methods
from keras_wn.study import canvas, forest, formatting, limits
from keras_wn.study.estimates import Estimate
from keras_wn.study.questions import accuracy, signal, stability
from keras_wn.study.records import table_of
from keras_wn.study.search import Bracket
from tests.study.made_up import DECISIVE, METHODS, World, log


def test_each_method_has_a_color_and_a_marker_of_its_own():
    found = [canvas.style_of(method) for method in methods.names()]
    unknown = canvas.style_of("another")
    for attribute in ("color", "marker"):
        values = {getattr(style, attribute) for style in [*found, unknown]}
        assert len(values) == len(found) + 1, attribute


@pytest.mark.parametrize(
    "settings", [{}, {"svg.fonttype": "none", "font.size": 40, "text.usetex": True}]
)
def test_a_plot_depends_on_no_settings_of_the_user(settings):
    def draw(figure):
        figure.subplots().plot([1, 2], [3, 4], **canvas.line_of("wn"))

    with matplotlib.rc_context(settings):
        found = canvas.panel("a", "A line.", draw)
    assert found == canvas.panel("a", "A line.", draw)
    assert found.png.startswith(b"\x89PNG")
    assert "<!--" not in found.svg
    svg = canvas.numbered(found.svg, 7)
    identities = re.findall(r'\bid="([^"]+)"', svg)
    assert identities and all(identity.startswith("figure7-") for identity in identities)
    references = re.findall(r'(?:url\(#|href="#)([^")]+)', svg)
    assert references and set(references) <= set(identities)


def test_a_name_that_is_no_name_of_a_file_draws_nothing():
    for name in ("a/../x", "", "A", "a.b", r"\q", 'x"'):
        with pytest.raises(ValueError, match="Allowed"):
            canvas.panel(name, "A line.", lambda figure: None)


def test_signals_that_are_not_finite_or_zero_are_drawn():
    records = log(World(), ("signal",))
    for record in records:
        if record["kind"] == "trial" and record["signal"]:
            record["signal"][-1]["blocks"][0]["variance"] = None
            record["signal"][-1]["blocks"][1]["variance"] = 0.0
    [drawn] = signal.evidence(table_of(records))
    assert len(drawn.panels) == 4


def test_estimates_without_an_interval_are_drawn():
    rows = [forest.Row("wn", "wn", Estimate(1.0, -math.inf, math.inf, 1), "1.0")]
    assert len(forest.draw("a", "An estimate.", rows, "points", margin=0.5)) == 1
    assert forest.draw("a", "Nothing.", [], "points") == []


def test_perfect_accuracy_is_drawn():
    ones = dict.fromkeys(METHODS, 1.0)
    records = log(World(test=ones, train=ones, spread=0.0), ("accuracy",))
    trials = table_of(records)
    assert len(accuracy.curves(trials)) == 2
    assert len(accuracy.front(trials)) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1234, "0.123"),
        (1e-5, "1e-5"),
        (0, "0"),
        (float("inf"), "not finite"),
        (None, formatting.MISSING),
    ],
)
def test_numbers(value, text):
    assert formatting.significant(value) == text


def test_zero_has_no_sign():
    assert formatting.signed(-0.01, 1) == "0.0"
    assert formatting.signed(-0.06, 1) == "\N{MINUS SIGN}0.1"


def test_conditions_beside_the_plain_ones_are_drawn_with_whole_intervals():
    asked = DECISIVE.of("stability")
    warm = dataclasses.replace(asked.conditions[0], warmup_epochs=(1.0,))
    protocol = DECISIVE.changed(dataclasses.replace(asked, conditions=(*asked.conditions, warm)))
    records = log(World(), ("stability",), ("bn", "wn"), protocol)
    trials = table_of(records)
    found = stability.by_condition(trials)
    assert [panel.name for panel in found] == ["limits_1", "limits_2"]
    mean, known = Estimate(0.0, -1.0, 1.0, 2), Bracket(0.7, 1.0)
    assert limits.rates(mean, [known, known]) == "1 [0.5, 2]"
    assert limits.rates(mean, [known, Bracket(None, 1.0)]) == "at most 1"
    assert limits.rates(mean, [known, Bracket(1.0, None)]) == "at least 1"
