"""Judges the claims on made-up trials whose effects are known: every outcome of every claim."""

import math

import pytest

from keras_wn.study import questions
from keras_wn.study.questions import cost, regularization
from keras_wn.study.records import table_of
from keras_wn.study.verdicts import (
    EQUAL,
    FAILS,
    HOLDS,
    MIXED,
    UNDECIDED,
    UNMEASURED,
    in_words,
)
from tests.study.made_up import METHODS, World, log


def judge(key, world, suites, methods=METHODS):
    trials = table_of(log(world, suites, methods))
    return {claim.key: verdict for claim, verdict in questions.judge(trials).items()}[key]


def same(value, methods=("wn", "normprop", "wn_trelu")):
    return dict.fromkeys(methods, value)


def test_nothing_measured():
    trials = table_of(log(World(), suites=()))
    found = questions.judge(trials)
    assert [claim.key for claim in found] == [f"C{i}" for i in range(1, 8)]
    assert {verdict.outcome for verdict in found.values()} == {UNMEASURED}
    assert all(v.reason.startswith("Needs ") and v.pieces == () for v in found.values())


@pytest.mark.parametrize(
    "seconds, outcome",
    [(0.2, HOLDS), (0.101, FAILS), (0.1 / 0.9, UNDECIDED)],
)
def test_c1_is_the_share_of_the_step(seconds, outcome):
    found = judge("C1", World(steps={"bn": seconds}), ("cost",))
    assert found.outcome == outcome
    assert [piece.comparison.name for piece in found.pieces] == [
        "bn, batch of 8",
        "bn, batch of 32",
    ]


@pytest.mark.parametrize(
    "steps, outcome",
    [
        (same(0.1), HOLDS),
        (same(0.13), FAILS),
        ({**same(0.1), "normprop": 0.13}, MIXED),
        (same(0.105), UNDECIDED),
    ],
)
def test_c2_is_the_ratio_to_none(steps, outcome):
    assert judge("C2", World(steps=steps), ("cost",)).outcome == outcome


@pytest.mark.parametrize(
    "test, spread, outcome",
    [
        ({"bn": 0.8, **same(0.85)}, 0.002, HOLDS),
        ({"bn": 0.8, **same(0.75)}, 0.002, FAILS),
        ({"bn": 0.8, **same(0.8)}, 0.002, EQUAL),
        ({"bn": 0.8, **same(0.75), "normprop": 0.85}, 0.002, MIXED),
        ({"bn": 0.8, **same(0.8)}, 0.03, UNDECIDED),
    ],
)
def test_c3_is_about_each_method_of_the_family(test, spread, outcome):
    found = judge("C3", World(test=test, spread=spread), ("accuracy",))
    assert found.outcome == outcome
    if outcome == UNDECIDED:
        assert "seeds would decide" in found.reason


def test_c3_says_which_method_was_not_measured_and_shows_the_others_beside():
    world = World(test={"bn": 0.8, "wn": 0.85})
    found = judge("C3", world, ("accuracy",), ("none", "bn", "wn"))
    assert found.outcome == MIXED
    assert "Holds: wn; not measured: normprop, wn_trelu." in found.reason
    assert [p.comparison.name for p in found.pieces if not p.decides] == ["none"]


@pytest.mark.parametrize(
    "train, test, spread, outcome",
    [
        (0.99, 0.75, 0.002, HOLDS),
        (0.9, 0.85, 0.002, FAILS),
        # A gap within the margin is no gap.
        (0.9, 0.8, 0.002, FAILS),
        (0.99, 0.8, 0.002, MIXED),
        (0.9, 0.75, 0.002, MIXED),
        (0.9, 0.795, 0.2, UNDECIDED),
    ],
)
def test_c4_is_about_train_and_test(train, test, spread, outcome):
    world = World({"bn": 0.8, "wn": test}, {"bn": 0.99, "wn": train}, spread=spread)
    assert judge("C4", world, ("accuracy",), ("bn", "wn")).outcome == outcome


@pytest.mark.parametrize(
    "test, answer",
    [(0.78, "the gap is smaller"), (0.68, "the gap is larger"), (0.74, UNDECIDED)],
)
def test_c4_tells_what_the_data_say_of_six_points(test, answer):
    found = judge("C4", World({"bn": 0.8, "wn": test}), ("accuracy",), ("bn", "wn"))
    [gap] = [piece for piece in found.pieces if not piece.decides]
    assert gap.outcome == answer


@pytest.mark.parametrize(
    "wn, regularized, spread, outcome, words",
    [
        (0.75, 0.76, 0.002, HOLDS, "of the gap"),
        (0.75, 0.85, 0.002, FAILS, "of the gap"),
        # A gap that is closed exactly.
        (0.75, 0.8, 0.002, FAILS, "of the gap"),
        (0.8, 0.8, 0.002, EQUAL, "no gap to close"),
        (0.85, 0.8, 0.002, UNDECIDED, "no gap to close"),
        (0.79, 0.8, 0.05, UNDECIDED, "is undecided"),
    ],
)
def test_c5_asks_whether_a_gap_is_closed(wn, regularized, spread, outcome, words):
    world = World({"bn": 0.8, "wn": wn}, regularized={"wn": regularized}, spread=spread)
    found = judge("C5", world, ("regularization",), ("bn", "wn"))
    assert found.outcome == outcome and words in found.reason


def test_c5_tells_the_share_of_the_gap_that_is_closed():
    world = World({"bn": 0.8, "wn": 0.7}, regularized={"wn": 0.75})
    trials = table_of(log(world, ("regularization",)))
    share = regularization.share_closed(trials)
    assert share.low < 0.5 < share.high and share.high - share.low < 0.2


@pytest.mark.parametrize(
    "limits, spread, outcome",
    [
        ({"bn": 8.0, **same(0.5)}, 0.1, HOLDS),
        ({"bn": 0.5, **same(8.0)}, 0.1, FAILS),
        ({"bn": 1.0, **same(1.0)}, 0.1, EQUAL),
        ({"bn": 8.0, **same(0.5), "wn": 8.0}, 0.1, MIXED),
        ({}, 3.0, UNDECIDED),
    ],
)
def test_c6_compares_the_largest_stable_rates_of_the_deepest_network(limits, spread, outcome):
    found = judge("C6", World(limits=limits, limit_spread=spread), ("stability",))
    assert found.outcome == outcome
    assert all("cifar_resnet20" in piece.comparison.quantity for piece in found.pieces)


def test_rates_that_are_too_small_to_learn_do_not_hide_the_limit():
    # The search starts above the limit, and its first step down is too long.
    narrow = World(limits={"bn": 0.02, **same(0.02)}, learns_from=math.log2(0.006))
    found = judge("C6", narrow, ("stability",))
    assert found.outcome == EQUAL and all(piece.estimate for piece in found.pieces)
    # Where no rate is both stable and large enough, the limit lies below the grid.
    none = World(limits={"bn": 0.5, **same(0.004)}, learns_from=math.log2(0.006))
    found = judge("C6", none, ("stability",))
    assert found.outcome == HOLDS and all(piece.comparison.is_bound for piece in found.pieces)


def test_rates_that_are_too_large_to_learn_are_above_the_limit_though_their_loss_is_finite():
    # From 0.004 to 0.02, the loss stays finite, and nothing is learned.
    world = World(limits={"bn": 0.5, **same(0.004)}, finite_to={"wn": 0.02})
    found = judge("C6", world, ("stability",))
    numbers = {piece.comparison.name: piece.estimate.value for piece in found.pieces}
    assert math.isclose(numbers["wn"], math.log2(0.5 / 0.004), abs_tol=0.4)
    assert math.isclose(numbers["normprop"], numbers["wn"], abs_tol=0.4)


def test_c6_does_not_hold_where_one_method_alone_was_measured():
    world = World(limits={"bn": 8.0, "wn": 0.5})
    found = judge("C6", world, ("stability",), ("bn", "wn"))
    assert found.outcome == MIXED and "not measured: normprop, wn_trelu" in found.reason


@pytest.mark.parametrize(
    "test, limits, spread, outcome",
    [
        ({"wn": 0.8, "none": 0.7}, {"none": 0.1}, 0.002, HOLDS),
        # Accurate methods are unstable, and stable ones inaccurate.
        (
            {"wn": 0.8, "none": 0.7, "normprop": 0.7, "wn_trelu": 0.7},
            {"wn": 0.1},
            0.002,
            FAILS,
        ),
        ({}, {}, 0.1, UNDECIDED),
    ],
)
def test_c7_asks_for_a_method_that_is_accurate_and_stable(test, limits, spread, outcome):
    world = World({"bn": 0.8, **test}, limits=limits, spread=spread)
    found = judge("C7", world, ("accuracy", "stability"))
    assert found.outcome == outcome
    if outcome == HOLDS:
        assert found.reason == "It holds for wn, normprop, wn_trelu."


def test_c7_is_not_decided_by_a_method_that_was_added_after_the_plan():
    world = World({"bn": 0.8, **same(0.7), "none": 0.7, "ws": 0.8})
    records = log(world, ("accuracy", "stability"), (*METHODS, "ws"))
    records[0]["planned"]["methods"].remove("ws")
    trials = table_of(records)
    [c7] = [v for c, v in questions.judge(trials).items() if c.key == "C7"]
    added = [piece for piece in c7.pieces if piece.comparison.name == "ws"]
    assert c7.outcome == FAILS and len(added) == 2
    assert all(not piece.decides and piece.outcome == HOLDS for piece in added)
    assert added[0].comparison.note == "exploratory"
    assert "ws" not in questions.findings(questions.judge(trials))[-1]


def test_c7_says_how_many_more_seeds_would_decide():
    found = judge("C7", World({"bn": 0.8}, spread=0.02), ("accuracy", "stability"))
    open_ = [p for p in found.pieces if p.outcome == UNDECIDED and p.comparison.unit == "points"]
    assert found.outcome == UNDECIDED and open_
    assert all("would" in in_words(piece) for piece in open_)
    assert any("more seeds would decide" in in_words(piece) for piece in open_)


def test_steps_are_compared_in_the_rounds_that_they_shared():
    """A method that is added later is timed beside `none` again, on a slower machine."""
    first = log(World(), ("cost",), ("none", "bn", "wn"))
    slower = World(steps=dict.fromkeys(("none", "bn", "wn", "gn"), 0.2))
    later = log(slower, ("cost",), ("none", "bn", "wn", "gn"))
    trials = table_of([*later, *first[2:]])
    for method, seconds in (("gn", 0.2), ("none", 0.1)):
        own, plain = cost.step_seconds(trials, method, 8)
        assert own.mean() == pytest.approx(seconds, rel=0.2)
        assert plain.mean() == pytest.approx(seconds, rel=0.2)


def test_pieces_name_their_trials():
    records = log(World(), ("accuracy",))
    trials = table_of(records)
    found = questions.judge(trials)
    [c3] = [verdict for claim, verdict in found.items() if claim.key == "C3"]
    for piece in c3.pieces:
        assert set(piece.comparison.trials) == {
            r["id"]
            for r in records
            if r["kind"] == "trial"
            and r["spec"]["stage"] == "final"
            and r["spec"]["method"] in ("bn", piece.comparison.name)
        }


def test_diverged_trials_are_counted_beside_and_leave_no_pair():
    records = log(World({"bn": 0.8, **same(0.85)}), ("accuracy",))
    finals = [r for r in records if r["kind"] == "trial" and r["spec"]["stage"] == "final"]
    next(r for r in finals if r["spec"]["method"] == "wn").update(
        status="diverged", final={}, correct=None
    )
    [c3] = [v for c, v in questions.judge(table_of(records)).items() if c.key == "C3"]
    wn = next(piece for piece in c3.pieces if piece.comparison.name == "wn")
    assert (wn.estimate.n, wn.outcome, wn.comparison.note) == (9, HOLDS, "diverged: 1 of 10")


def test_before_the_first_look_nothing_is_decided():
    records = log(World({"bn": 0.8, **same(0.5)}), ("accuracy",))
    few = [r for r in records if r["kind"] != "trial" or r["spec"]["seed"] not in range(4, 10)]
    found = {c.key: v for c, v in questions.judge(table_of(few)).items()}
    assert found["C3"].outcome == UNMEASURED
    half = [r for r in records if r["kind"] != "trial" or r["spec"]["seed"] not in range(5, 10)]
    found = {c.key: v for c, v in questions.judge(table_of(half)).items()}
    assert found["C3"].outcome == FAILS and found["C3"].pieces[0].estimate.n == 5


def test_every_reported_number_has_a_source_and_says_how_it_was_read():
    for claim in questions.CLAIMS:
        assert bool(claim.reported) == (claim.key != "C7")
        assert {reported.tag for reported in claim.reported} <= {"read", "second-hand"}
        assert all(reported.source for reported in claim.reported)


def test_the_sentence_on_the_cost_names_each_method_once():
    world = World(steps={"none": 0.1, "bn": 0.15, "wn": 0.12, "normprop": 0.101, "wn_trelu": 0.11})
    trials = table_of(log(world, ("cost",)))
    sentence = questions.findings(questions.judge(trials))[4]
    added = sentence.partition("added to it by ")[2]
    batches = len(trials.protocol.of("cost").batch_sizes)
    assert [added.count(f"{name} (") for name in ("wn", "wn_trelu", "normprop")] == [1, 1, 0]
    assert added.count("with a batch of") == 2 * batches
