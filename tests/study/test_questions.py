"""Plans the trials of each suite, with made-up results of the trials before them."""

import dataclasses

import pytest

from keras_wn import methods
from keras_wn.study import budgets, fields, limits, search, specs
from keras_wn.study.questions import SUITES, accuracy, regularization, stability, work
from tests.study.made_up import TINY, all_done, result


def stage(done, name):
    return [record["spec"] for record in done.values() if record["spec"]["stage"] == name]


def test_every_method_gets_as_many_settings_from_the_range_of_its_card(planner_of):
    # `bn` is best in the middle, `wn` at the upper edge: its extension looks beyond, and is as
    # long.
    best = {"bn": lambda rate: -abs(rate - 0.05), "wn": lambda rate: rate}
    tuning = dataclasses.replace(TINY.tuning, settings=8, extension=4)
    done = all_done(
        accuracy.plan,
        planner_of(protocol=TINY.changed(tuning=tuning)),
        lambda spec: 0.5 + 0.01 * best[spec.method](spec.learning_rate),
    )
    for method in ("bn", "wn"):
        tried = [s for s in stage(done, "tune") if s["method"] == method]
        assert len(tried) == (8 + 4) * TINY.tuning.seeds
        low, high = (rate * 32 / 256 for rate in methods.get(method).learning_rate_range)
        assert all(low <= s["learning_rate"] <= high for s in tried if s["number"] < 8)
        beyond = [s for s in tried if s["learning_rate"] > high]
        assert bool(beyond) == (method == "wn")
        assert {s["seed"] for s in tried} == {search.SEED, search.SEED + 1}


def test_final_trials_are_paired_by_fresh_seeds_and_alone_see_the_test_images(planner_of):
    done = all_done(accuracy.plan, planner_of())
    finals = stage(done, "final")
    assert [(s["method"], s["seed"]) for s in finals] == [
        (m, seed) for m in ("bn", "wn") for seed in range(TINY.seeds)
    ]
    assert all(s["keeps_correct"] and s["curve_epochs"][-1] == s["train_epochs"] for s in finals)
    assert all("test" not in s["splits"] and s["seed"] >= search.SEED for s in stage(done, "tune"))


def test_final_trials_take_the_chosen_setting_and_wait_for_the_search(planner_of):
    planner = planner_of(methods=("wn",))
    specs = accuracy.plan(planner, {})
    seeds = TINY.tuning.seeds
    assert {s.stage for s in specs} == {"tune"} and len(specs) == TINY.tuning.settings * seeds
    done = all_done(accuracy.plan, planner, lambda spec: 0.9 if spec.number == 1 else 0.5)
    chosen = [s for s in stage(done, "tune") if s["number"] == 1]
    finals = stage(done, "final")
    assert {s["learning_rate"] for s in finals} == {chosen[0]["learning_rate"]}
    assert {tuple(s["chosen_from"]) for s in finals} == {
        tuple(k for k, r in done.items() if r["spec"]["number"] == 1)
    }


def test_the_best_settings_of_a_rung_are_trained_for_longer_on_the_next(planner_of):
    tuning = dataclasses.replace(TINY.tuning, seeds=1, rungs=((1, 3), (2, 2), (4, 1)))
    protocol = TINY.changed(tuning=tuning)
    planner = planner_of(methods=("wn",), protocol=protocol)
    # Setting 1 is the best after an epoch, and setting 2 after two.
    top1 = {(1, 1): 0.8, (1, 2): 0.7, (2, 2): 0.9}
    done = all_done(accuracy.plan, planner, lambda s: top1.get((s.train_epochs, s.number), 0.5))
    tuned = [(spec["train_epochs"], spec["number"]) for spec in stage(done, "tune")]
    assert tuned == [(1, 0), (1, 1), (1, 2), (2, 1), (2, 2), (4, 2)]
    rates = {spec["number"]: spec["learning_rate"] for spec in stage(done, "tune")}
    finals = stage(done, "final")
    assert {spec["learning_rate"] for spec in finals} == {rates[2]}
    assert {spec["train_epochs"] for spec in finals} == {protocol.train_epochs}
    # The warm-up is a share of the epochs of its rung.
    warmups = {s["train_epochs"]: s["warmup_epochs"] for s in stage(done, "tune") if s["number"]}
    assert warmups[4] == pytest.approx(2 * warmups[2], abs=0.002)


def test_a_seed_of_the_search_that_diverged_counts_as_guessing(planner_of):
    planner = planner_of(methods=("wn",))
    specs = accuracy.plan(planner, {})
    done = {s.id: result(s, 0.9 if s.number == 0 else 0.6) for s in specs}
    lost = next(s for s in specs if s.number == 0)
    done[lost.id] = result(lost, 0.9, "diverged")
    # 0.9 and a tenth are less than 0.6 on average.
    tried = all_done_from(accuracy.plan, planner, done)
    assert {s["learning_rate"] for s in stage(tried, "final")} != {lost.learning_rate}


def all_done_from(suite, planner, done):
    while new := [spec for spec in suite(planner, done) if spec.id not in done]:
        done = done | {spec.id: result(spec, 0.3) for spec in new}
    return done


def test_limits_are_enclosed_for_every_seed_of_every_condition(planner_of):
    planner = planner_of()
    done = all_done(stability.plan, planner, lambda s: 0.9 if s.learning_rate < 0.5 else 0.1)
    found = limits.limits_of(planner, done)
    assert len(found) == 2 * TINY.of("stability").seeds
    for limit in found:
        assert limit.bracket.stable < 0.5 < limit.bracket.unstable
        assert {spec.warmup_epochs for spec in limit.trials} == {0.0}
    # The first seed's limit guides the second seed's search.
    assert len(found[1].trials) < len(found[0].trials)


def test_seeds_that_search_at_once_do_not_wait_for_each_other(planner_of):
    asked = dataclasses.replace(TINY.of("stability"), side_by_side=True)
    planner = planner_of(protocol=TINY.changed(asked))
    seeds = {spec.seed for spec in stability.plan(planner, {})}
    assert seeds == set(range(asked.seeds))
    done = all_done(stability.plan, planner, lambda s: 0.9 if s.learning_rate < 0.5 else 0.1)
    assert all(limit.bracket.stable < 0.5 for limit in limits.limits_of(planner, done))


def test_a_crash_loses_the_limit_of_its_seed_alone(planner_of):
    planner = planner_of(methods=("wn",))
    first = stability.plan(planner, {})[0]
    done = {first.id: result(first, 0.9, "crashed")}
    while new := [s for s in stability.plan(planner, done) if s.id not in done]:
        done |= {s.id: result(s, 0.9 if s.learning_rate < 0.5 else 0.1) for s in new}
    found = limits.limits_of(planner, done)
    assert [limit.bracket is None for limit in found] == [True, False]


def test_regularizers_are_chosen_on_seeds_of_the_search_and_scored_on_final_ones(planner_of):
    def top1(spec):
        return {"dropout": 0.6, "mixup": 0.7}.get(spec.options[0][0] if spec.options else "", 0.5)

    done = all_done(regularization.plan, planner_of(methods=("wn_trelu",)), top1)
    assert {s["method"] for s in stage(done, "scored")} == {"bn", "wn"}
    for s in stage(done, "grid") + stage(done, "combined") + stage(done, "plain"):
        assert s["seed"] >= search.SEED and s["splits"] == ["validation"]
    # The best of both kinds together comes last, and is not better here.
    assert {tuple(map(tuple, s["options"])) for s in stage(done, "combined")} == {
        (("mixup", 0.2), ("dropout", 0.5))
    }
    scored = [s for s in stage(done, "scored") if s["method"] == "wn"]
    assert {s["seed"] for s in scored} == set(range(TINY.seeds))
    assert {s["options"][0][0] for s in scored} == {"mixup"}
    # The claim is on dropout and decay, the better of which is scored as well.
    alone = stage(done, "scored_alone")
    assert {(s["method"], s["options"][0][0]) for s in alone} == {("wn", "dropout")}
    assert {s["seed"] for s in alone} == set(range(TINY.seeds))
    asked = TINY.of("regularization")
    assert len(stage(done, "statistics")) == (
        len(asked.statistics_batches) * asked.statistics_seeds
    )


def test_the_best_method_without_batch_statistics_is_trained_at_every_point(planner_of):
    best = {"bn": 0.9, "wn": 0.5, "gn": 0.7, "none": 0.6}
    planner = planner_of(methods=tuple(best))
    done = all_done(work.plan, planner, lambda spec: best[spec.method])
    finals = stage(done, "final")
    assert {s["method"] for s in finals if s["suite"] == "work"} == {"bn", "wn", "gn"}
    points = {(s["train_size"], s["model"]) for s in finals if s["suite"] == "work"}
    assert points == {(size, model) for size, model, _ in TINY.of("work").points}


def test_suites_share_their_searches(planner_of):
    done = all_done(accuracy.plan, planner_of())
    for suite in ("signal", "work", "regularization"):
        specs = SUITES[suite].plan(planner_of(), done)
        new = [s for s in specs if s.id not in done and (s.suite, s.stage) == ("accuracy", "tune")]
        assert new == []


def test_cost_times_all_methods_and_the_baseline_in_turns_with_nothing_else(planner_of):
    specs = SUITES["cost"].plan(planner_of(), {})
    assert [spec.method for spec in specs] == ["none", "bn", "wn"]
    assert {spec.together for spec in specs} == {(32, "none", "bn", "wn")}
    # Another method is timed beside those that it is compared with: they are timed again.
    more = SUITES["cost"].plan(planner_of(methods=("bn", "wn", "normprop")), {})
    assert not {spec.id for spec in specs} & {spec.id for spec in more}


@pytest.mark.parametrize("suite", list(SUITES))
def test_plans_do_not_change_what_they_planned(suite, planner_of):
    """A planned trial is planned again whatever is done since, so that the log is found."""
    planner, done, planned = planner_of(), {}, set()
    while True:
        specs = SUITES[suite].plan(planner, done)
        assert planned <= {spec.id for spec in specs}
        planned = {spec.id for spec in specs}
        new = [spec for spec in specs if spec.id not in done]
        if not new:
            return
        done[new[0].id] = result(new[0], 0.5)


def test_a_specification_is_read_again_from_its_record(planner_of):
    for question in SUITES.values():
        for record in all_done(question.plan, planner_of()).values():
            assert fields.read(specs.TrialSpec, record["spec"]).id == record["id"]


@pytest.mark.parametrize("budget", budgets.names())
def test_budgets_have_two_looks_and_allowed_values(budget):
    found = budgets.get(budget)
    found.check()
    assert found.looks == ((found.seeds + 1) // 2, found.seeds)
    least = 24 if budget != "tiny" else 1
    assert found.tuning.settings >= least and found.tuning.seeds >= 2
