"""Forecasts of the trials and of the time of a plan, and of what its test images can tell."""

import dataclasses

import pytest

from keras_wn import models
from keras_wn.errors import UsageError
from keras_wn.study import budgets
from keras_wn.study.forecast import Forecast, check_test_images, multiply_adds, rehearse, work_of
from keras_wn.study.questions import SUITES
from tests.study.made_up import TINY, World, all_done, log

SUITE_NAMES = tuple(SUITES)


def test_a_rehearsal_has_about_as_many_trials_as_the_study(planner_of):
    planner = planner_of()
    rehearsed = rehearse(planner, SUITE_NAMES, {})
    assert len({spec.id for spec in rehearsed}) == len(rehearsed)
    done = {key for question in SUITES.values() for key in all_done(question.plan, planner)}
    assert len(rehearsed) == pytest.approx(len(done), rel=0.15)


def test_a_plan_that_is_done_is_rehearsed_as_it_was(planner_of):
    lines = log(World(), methods=("none", "bn", "wn"), protocol=TINY)
    done = {record["id"]: record for record in lines if record["kind"] == "trial"}
    planner = planner_of(methods=("none", "bn", "wn"))
    assert {spec.id for spec in rehearse(planner, SUITE_NAMES, done)} == set(done)
    forecast = Forecast(planner, SUITE_NAMES, done, 128)
    assert forecast.total(done) == len(done) and forecast.seconds_left(done) == 0


def test_trials_of_other_methods_do_not_make_a_plan_shorter(planner_of):
    lines = log(World(), methods=("none", "bn", "wn"), protocol=TINY)
    done = {record["id"]: record for record in lines if record["kind"] == "trial"}
    planner = planner_of(methods=("gn",))
    alone = Forecast(planner, ("accuracy",), {}, 128)
    beside = Forecast(planner, ("accuracy",), done, 128)
    alone.seconds_per_multiply_add = beside.seconds_per_multiply_add = 1e-9
    assert beside.total(done) - len(done) == alone.total({}) > 0
    assert beside.seconds_left(done) == alone.seconds_left({})


def test_multiplications_are_those_of_the_convolutions_and_the_classifier():
    # Two 3x3 convolutions a block, and three blocks, by hand for 16 pixels and 1000 classes.
    stages = 16**2 * (27 * 16 + 2 * 9 * 16 * 16)
    stages += 8**2 * (9 * 16 * 32 + 9 * 32 * 32) + 4**2 * (9 * 32 * 64 + 9 * 64 * 64)
    shortcuts = 8**2 * 16 * 32 + 4**2 * 32 * 64
    model = models.get("cifar_resnet8")("none", (16, 16, 3))
    has_projections = any("shortcut" in layer.name for layer in model.layers)
    classifier = 64 * model.output.shape[-1]
    expected = stages + shortcuts * has_projections + classifier
    assert multiply_adds("cifar_resnet8", 16) == expected


def test_time_is_in_proportion_to_the_work_at_the_speed_of_the_trials_that_ran(planner_of):
    planner = planner_of(methods=("bn",))
    forecast = Forecast(planner, ("accuracy", "stability"), {}, 128, jobs=2)
    assert forecast.seconds_left({}) is None
    specs = rehearse(planner, ("accuracy", "stability"), {})
    work = sum(work_of(spec, TINY, 128) for spec in specs)
    forecast.seconds_per_multiply_add = 1e-9
    assert forecast.seconds_left({}) == pytest.approx(1e-9 * work / 2)
    forecast.seconds_per_network = 3.0
    assert forecast.seconds_left({}) == pytest.approx((1e-9 * work + 3.0) / 2)
    # Now a trial tells the time of all of them, that of their networks included.
    first = specs[0]
    forecast.learn(first, 10.0)
    expected = 10.0 * work / work_of(first, TINY, 128) / 2
    assert forecast.seconds_left({}) == pytest.approx(expected)
    assert forecast.seconds_left({first.id: {}}) == pytest.approx(expected - 10.0 / 2)


def test_steps_that_are_timed_have_the_machine_to_themselves(planner_of):
    planner = planner_of(methods=("bn",))
    one, two = (Forecast(planner, ("cost",), {}, 128, jobs=jobs) for jobs in (1, 2))
    one.seconds_per_multiply_add = two.seconds_per_multiply_add = 1e-9
    assert two.seconds_left({}) == one.seconds_left({}) > 0


def test_trials_beyond_the_forecast_count(planner_of):
    planner = planner_of(methods=("bn",))
    forecast = Forecast(planner, ("accuracy",), {}, 128)
    left = rehearse(planner, ("accuracy", "signal"), {})
    assert forecast.total({}, left) == len(left) > forecast.total({})


@pytest.mark.parametrize(
    "images, changes, message",
    [
        (10_000, {}, None),
        (250, {}, "its 250 test images are too few .* within 0.5 points: no number of seeds is"),
        (3_000, {}, "it would take 70 seeds. Allowed: .* --yes"),
        # More images would not help such a plan.
        (250, {"seeds": 2}, None),
        (250, {"margin": 3.0}, None),
    ],
)
def test_too_few_test_images_are_refused_with_the_seeds_that_it_would_take(
    images, changes, message
):
    protocol = dataclasses.replace(budgets.get("fashion"), **changes)
    if message is None:
        check_test_images(protocol, images)
    else:
        with pytest.raises(UsageError, match=message):
            check_test_images(protocol, images)


def test_every_budget_fits_its_own_data():
    for name, images in (("tiny", 1000), ("small", 1000), ("fashion", 10_000), ("paper", 50_000)):
        check_test_images(budgets.get(name), images)
