"""Judges the claims on made-up records whose effects are known."""

import itertools

import pytest

from keras_wn.study import claims, verdicts
from keras_wn.study.results import Results
from tests.study import made_up_log as made_up


def judge(*suites):
    return judge_records(made_up.log(*suites))


def judge_records(records):
    found = claims.judge(Results.from_records(records))
    return {claim.key: verdict for claim, verdict in found.items()}


def family(**values):
    return {"none": 0.8, "bn": 0.9, **values}


ABOVE = family(wn=0.93, normprop=0.94, wn_trelu=0.92)


def test_nothing_measured():
    found = judge()
    assert set(found) == {"C1", "C2", "C3", "C4", "C5", "C6"}
    assert {verdict.outcome for verdict in found.values()} == {verdicts.UNMEASURED}
    assert all(
        verdict.reason.startswith("Needs ") and verdict.evidence == () for verdict in found.values()
    )


@pytest.mark.parametrize(
    ("test", "outcome"),
    [
        (ABOVE, verdicts.AGREES),
        ({**ABOVE, "normprop": 0.87}, verdicts.DISAGREES),
        ({**ABOVE, "normprop": 0.9}, verdicts.UNDECIDED),
        # A single failure decides, whatever the others do.
        ({**ABOVE, "normprop": 0.9, "wn": 0.85}, verdicts.DISAGREES),
        ({"bn": 0.9, "wn": 0.93}, verdicts.AGREES),
    ],
)
def test_c3_is_about_each_method_of_the_family(test, outcome):
    verdict = judge(made_up.accuracy(test))["C3"]
    assert verdict.outcome == outcome
    assert [piece.estimate.n for piece in verdict.evidence] == [5] * len(verdict.evidence)


def test_c3_says_who_holds_fails_and_was_not_measured():
    verdict = judge(made_up.accuracy({"bn": 0.9, "wn": 0.93, "normprop": 0.87}))["C3"]
    assert verdict.reason == "Holds for wn; fails for normprop; not measured for wn_trelu."
    difference = verdict.evidence[0].estimate
    assert difference.low < 0.03 < difference.high


def test_evidence_names_its_trials():
    records = made_up.accuracy({"bn": 0.9, "wn": 0.93})
    (piece,) = judge(records)["C3"].evidence
    assert set(piece.trials) == {r["id"] for r in records if r["spec"]["stage"] == "final"}


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_fewer_than_five_seeds_decide_nothing(seeds):
    found = judge(
        made_up.accuracy(ABOVE, seeds=seeds),
        made_up.stability({"bn": 1.28, "wn": 0.08}, seeds=seeds),
        made_up.regularization({"wn": 0.8}, seeds=seeds),
        made_up.cost({"none": 1.0, "bn": 2.0, "wn": 1.0}, rounds=seeds),
    )
    assert {verdict.outcome for verdict in found.values()} == {verdicts.UNDECIDED}
    assert all(
        f"{seeds} paired" in verdict.reason and "5 are needed" in verdict.reason
        for verdict in found.values()
    )


def test_pairs_are_those_that_both_have():
    records = [
        r
        for r in made_up.accuracy(ABOVE, seeds=7)
        if r["spec"]["method"] != "bn" or r["spec"]["seed"] not in (2, 3)
    ]
    assert {piece.estimate.n for piece in judge(records)["C3"].evidence} == {5}


def test_crashed_trials_are_no_pairs_and_diverged_ones_are():
    records = made_up.accuracy(ABOVE, seeds=5)
    wn = [r for r in records if r["spec"]["stage"] == "final" and r["spec"]["method"] == "wn"]
    wn[0].update(status="crashed", final={}, error="out of memory")
    assert next(p for p in judge(records)["C3"].evidence if p.method == "wn").estimate.n == 4
    null = {"loss": None, "top1": None, "top5": None}
    wn[0].update(
        status="diverged", final=dict.fromkeys(("train", "validation", "test"), null), error=None
    )
    piece = next(p for p in judge(records)["C3"].evidence if p.method == "wn")
    # It counts as guessing, a tenth, and so pulls the mean down.
    assert (piece.estimate.n, piece.holds) == (5, None)
    assert piece.estimate.value < -0.1


def test_all_diverged_is_a_failure_and_not_a_gap_in_the_data():
    records = made_up.accuracy({"bn": 0.9, "wn": 0.9})
    for record in records:
        if record["spec"]["method"] == "wn":
            record.update(
                status="diverged",
                final={split: {"loss": None, "top1": None} for split in record["final"]},
            )
    found = judge(records)
    assert found["C3"].outcome == verdicts.DISAGREES
    # C4 also requires that it trains as well as bn.
    assert found["C4"].outcome == verdicts.DISAGREES


@pytest.mark.parametrize(
    ("train", "test", "outcome"),
    [
        (0.99, 0.86, verdicts.AGREES),
        (0.985, 0.86, verdicts.AGREES),  # Within the margin of 1 point.
        (0.95, 0.86, verdicts.DISAGREES),
        (0.99, 0.93, verdicts.DISAGREES),
        (0.99, 0.9, verdicts.UNDECIDED),
        (0.98, 0.86, verdicts.UNDECIDED),
    ],
)
def test_c4_is_about_train_and_test(train, test, outcome):
    verdict = judge(made_up.accuracy({"bn": 0.9, "wn": test}, train={"bn": 0.99, "wn": train}))[
        "C4"
    ]
    assert verdict.outcome == outcome
    assert "only its direction" in verdict.reason


def test_c4_on_imagenet_repeats_the_paper():
    records = made_up.log(made_up.accuracy({"bn": 0.73, "wn": 0.67}, train={"bn": 0.8, "wn": 0.82}))
    records[0] = {**records[0], "dataset": "imagenet"}
    verdict = judge_records(records)["C4"]
    assert verdict.outcome == verdicts.AGREES
    assert "not tested" not in verdict.reason


@pytest.mark.parametrize(
    ("tuned", "regularized", "outcome"),
    [
        (0.86, 0.87, verdicts.AGREES),
        (0.86, 0.94, verdicts.DISAGREES),
        (0.86, 0.9, verdicts.UNDECIDED),
        (0.9, 0.8, verdicts.UNDECIDED),  # There is no gap to close.
        (0.95, 0.8, verdicts.UNDECIDED),
    ],
)
def test_c5_asks_whether_a_gap_is_closed(tuned, regularized, outcome):
    found = (
        made_up.accuracy({"bn": 0.9, "wn": tuned}),
        made_up.regularization({"wn": regularized, "wn_mobn": 0.9}),
    )
    verdict = judge(*found)["C5"]
    assert verdict.outcome == outcome
    assert ("no gap to close" in verdict.reason) == (tuned >= 0.9)
    assert verdict.evidence[-1].method == "wn_mobn"
    assert verdict.evidence[-1].beside


def test_c5_needs_final_trials_of_both():
    assert judge(made_up.regularization({"wn": 0.8}))["C5"].outcome == verdicts.UNMEASURED
    found = made_up.accuracy({"wn": 0.86}), made_up.regularization({"wn": 0.8})
    assert judge(*found)["C5"].outcome == verdicts.UNMEASURED


@pytest.mark.parametrize(
    ("limits", "outcome"),
    [
        (
            {"wn": 0.32, "normprop": 0.08, "wn_trelu": (0.32, 0.08, 0.32, 0.08, 0.32)},
            verdicts.AGREES,
        ),
        ({"wn": 0.32, "normprop": 1.28}, verdicts.UNDECIDED),
        ({"wn": 0.32, "wn_trelu": (1.28, 1.28, 1.28, 0.08, 1.28)}, verdicts.UNDECIDED),
    ],
)
def test_c6_compares_the_largest_stable_rates(limits, outcome):
    assert judge(made_up.stability({"bn": 1.28, **limits}))["C6"].outcome == outcome


def test_c6_fails_where_one_bears_more_than_bn():
    verdict = judge(made_up.stability({"bn": 0.08, "wn": 0.02, "wn_trelu": 1.28}))["C6"]
    assert verdict.outcome == verdicts.DISAGREES
    assert "Holds for wn; fails for wn_trelu; not measured for normprop." in verdict.reason
    assert "5 of 15 limits lie at an end of the grid" in verdict.reason


def test_c6_shows_the_drop_with_depth_beside():
    shallow, *deeper = made_up.MODELS
    records = made_up.stability({"bn": 0.32, "wn": 0.32}, models=(shallow,)) + made_up.stability(
        {"bn": 0.32, "wn": 0.02}, models=deeper
    )
    drops = {p.method: p.estimate.value for p in judge(records)["C6"].evidence if p.beside}
    assert drops == {"bn": 0, "wn": pytest.approx(1.204, abs=1e-3)}


@pytest.mark.parametrize(
    ("ratio", "outcome"),
    [(1.3, verdicts.AGREES), (1.02, verdicts.DISAGREES), (1.111, verdicts.UNDECIDED)],
)
def test_c1_is_the_share_of_the_step(ratio, outcome):
    assert judge(made_up.cost({"none": 1.0, "bn": ratio}))["C1"].outcome == outcome


@pytest.mark.parametrize(
    ("ratio", "outcome"),
    [(1.0, verdicts.AGREES), (1.2, verdicts.DISAGREES), (1.05, verdicts.UNDECIDED)],
)
def test_c2_is_the_ratio_to_none(ratio, outcome):
    records = made_up.cost({"none": 1.0, "wn": 0.99, "normprop": ratio}, spread=0.02)
    assert judge(records)["C2"].outcome == outcome


def test_steps_of_different_processes_are_not_side_by_side():
    records = made_up.cost({"none": 1.0}, process="p0") + made_up.cost(
        {"bn": 1.3, "wn": 1.0}, process="p1"
    )
    found = judge(records)
    assert found["C1"].outcome == found["C2"].outcome == verdicts.UNMEASURED


def test_agreement_is_never_said_of_an_interval_that_includes_the_bound():
    for test in itertools.product((0.89, 0.9, 0.93), repeat=2):
        verdict = judge(made_up.accuracy({"bn": 0.9, "wn": test[0], "normprop": test[1]}))["C3"]
        lows, highs = (
            [getattr(p.estimate, end) for p in verdict.evidence] for end in ("low", "high")
        )
        assert (verdict.outcome == verdicts.AGREES) == (min(lows) > 0)
        assert (verdict.outcome == verdicts.DISAGREES) == (min(highs) < 0)


def test_every_reported_number_has_a_source_and_says_how_it_was_read():
    for claim in claims.CLAIMS:
        assert claim.reported
        assert {reported.tag for reported in claim.reported} <= {"read", "second-hand"}
        assert all(reported.source for reported in claim.reported)
