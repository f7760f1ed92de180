"""Plans the trials of each suite, with made-up results of the trials before them."""

import pytest

from keras_wn.study import plan, search
from keras_wn.study.plan import SUITES
from tests.study.made_up import TINY, all_done, result


def stage(done, name):
    return [record["spec"] for record in done.values() if record["spec"]["stage"] == name]


def test_every_method_gets_the_same_number_of_trials_from_the_same_sequence(request_of):
    # `bn` is best in the middle, `wn` at the upper edge: its extension looks elsewhere, and is as
    # long.
    best = {"bn": lambda rate: -abs(rate - 0.05), "wn": lambda rate: rate}
    done = all_done(
        plan.accuracy, request_of(), lambda spec: 0.5 + 0.01 * best[spec.method](spec.learning_rate)
    )
    searched = {
        method: [s for s in stage(done, "tune") if s["method"] == method] for method in ("bn", "wn")
    }
    assert (
        len(searched["bn"])
        == len(searched["wn"])
        == TINY.tuning["trials"] + TINY.tuning["extension"]
    )
    first = [
        [
            (s["learning_rate"], s["weight_decay"], s["warmup_epochs"])
            for s in specs
            if s["round"] == 0
        ]
        for specs in searched.values()
    ]
    assert first[0] == first[1]
    assert (
        searched["wn"][-1]["learning_rate"] > TINY.tuning["learning_rate"][1]
        or searched["wn"][-1]["round"] == 1
    )


def test_final_trials_are_paired_by_fresh_seeds_and_alone_see_the_test_images(request_of):
    done = all_done(plan.accuracy, request_of(seeds=3))
    finals = stage(done, "final")
    assert [(s["method"], s["seed"]) for s in finals] == [
        (m, seed) for m in ("bn", "wn") for seed in range(3)
    ]
    assert all("test" in s["splits"] and s["curve_epochs"][-1] == s["train_epochs"] for s in finals)
    assert all("test" not in s["splits"] and s["seed"] == search.SEED for s in stage(done, "tune"))


def test_final_trials_take_the_chosen_setting_and_wait_for_the_search(request_of):
    request = request_of(methods=("wn",))
    specs = plan.accuracy(request, {})
    assert {spec.stage for spec in specs} == {"tune"} and len(specs) == TINY.tuning["trials"]
    done = all_done(plan.accuracy, request, lambda spec: 0.9 if spec.number == 1 else 0.5)
    chosen = next(s for s in stage(done, "tune") if s["number"] == 1)
    assert {(s["learning_rate"], s["weight_decay"]) for s in stage(done, "final")} == {
        (chosen["learning_rate"], chosen["weight_decay"])
    }


def test_stability_covers_every_depth_rate_and_seed_without_warm_up(request_of):
    specs = SUITES["stability"](request_of(), {})
    grid = TINY.stability
    assert (
        len(specs) == len(set(specs)) == 2 * 2 * len(grid["models"]) * len(grid["learning_rates"])
    )
    assert {spec.warmup_epochs for spec in specs} == {0.0}


def test_regularization_searches_and_reports_batch_normalization_whatever_the_methods(request_of):
    done = all_done(SUITES["regularization"], request_of(methods=("wn_trelu",)))
    assert {s["method"] for s in stage(done, "final")} == {"bn", "wn"}
    grid = TINY.regularization
    assert len(stage(done, "grid")) == 2 * len(grid["dropout"]) * len(grid["weight_decay"])


def test_suites_share_their_searches(request_of):
    done = all_done(plan.accuracy, request_of())
    specs = SUITES["signal"](request_of(), done)
    assert [spec for spec in specs if spec.id not in done and spec.stage == "tune"] == []


def test_cost_times_all_methods_and_the_baseline_in_turns_with_nothing_else(request_of):
    specs = SUITES["cost"](request_of(), {})
    assert [spec.method for spec in specs] == ["none", "bn", "wn"] and all(
        spec.alone for spec in specs
    )
    # Another method is timed beside those that it is compared with: they are timed again.
    more = SUITES["cost"](request_of(methods=("bn", "wn", "normprop")), {})
    assert not {spec.id for spec in specs} & {spec.id for spec in more}


@pytest.mark.parametrize("suite", list(SUITES))
def test_plans_do_not_change_what_they_planned(suite, request_of):
    """A planned trial is planned again whatever is done since, so that the log is found."""
    request, done, planned = request_of(), {}, set()
    while True:
        specs = SUITES[suite](request, done)
        assert planned <= set(specs)
        planned = set(specs)
        new = [spec for spec in specs if spec.id not in done]
        if not new:
            return
        done[new[0].id] = result(new[0], 0.5)
