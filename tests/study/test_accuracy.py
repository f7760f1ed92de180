"""Summarizes made-up trials of the suites accuracy and regularization."""

import pytest

from keras_wn.study import accuracy, table
from keras_wn.study.accuracy import Target
from keras_wn.study.table import TrialTable
from tests.study import made_up_log as made_up


def measure(*records):
    return accuracy.summarize_accuracy(TrialTable.from_records(made_up.log(*records)))


def regularization(*records):
    return accuracy.summarize_regularization(
        TrialTable.from_records(made_up.log(*records))
    ).methods["wn"]


def tune(*figures, **more):
    """Tuning trials of these validation top-1, at growing learning rates."""
    return [
        made_up.trial(
            "accuracy",
            "tune",
            "wn",
            0,
            final={"validation": top1},
            learning_rate=0.1 * 2**i,
            number=i,
            round=0,
            **more,
        )
        for i, top1 in enumerate(figures)
    ]


def test_final_accuracy_and_gap():
    found = measure(made_up.accuracy({"bn": 0.9, "wn": 0.95}, train={"wn": 0.98}, spread=0))["wn"]
    assert found.tops["test"].iqm.value == pytest.approx(0.95)
    assert found.tops["test"].mean.value == pytest.approx(0.95)
    assert found.gap.mean.value == pytest.approx(0.03)
    assert found.against_baseline.test.value == pytest.approx(0.05)
    assert found.against_baseline.gap.value == pytest.approx(0.03 - 0.09)
    assert found.against_baseline.improvement.value == 1
    assert table.count_by_status(found.finals) == {"finished": 5, "diverged": 0, "crashed": 0}


def test_the_baseline_is_not_compared_with_itself():
    assert measure(made_up.accuracy({"bn": 0.9}))["bn"].against_baseline is None


def test_without_a_baseline_there_is_no_comparison():
    assert measure(made_up.accuracy({"wn": 0.9}))["wn"].against_baseline.test is None


def test_of_equal_trials_that_with_the_lower_loss_is_chosen():
    records = tune(0.8, 0.9, 0.9)
    records[1]["final"]["validation"]["loss"] = 0.5
    records[2]["final"]["validation"]["loss"] = 0.4
    assert measure(records)["wn"].chosen["id"] == records[2]["id"]


def test_a_diverged_trial_is_never_chosen():
    records = tune(0.5, 0.99)
    records[1]["status"] = "diverged"
    found = measure(records)["wn"]
    assert found.chosen["id"] == records[0]["id"]
    assert table.count_by_status(found.tune) == {"finished": 1, "diverged": 1, "crashed": 0}
    assert accuracy.best_trial(found.tune[1:]) is None


@pytest.mark.parametrize(
    ("tops", "edge"), [((0.9, 0.8, 0.7), True), ((0.7, 0.9, 0.8), False), ((0.7, 0.8, 0.9), True)]
)
def test_the_smallest_and_the_largest_rate_are_the_edge(tops, edge):
    assert measure(tune(*tops))["wn"].edge is edge


def test_a_crashed_trial_is_no_edge():
    records = tune(0.8, 0.9, 0.7)
    records[2].update(status="crashed", final={})
    assert measure(records)["wn"].edge is True


def test_final_trials_name_the_chosen_setting():
    records = tune(0.7, 0.8, 0.9)
    final = made_up.trial(
        "accuracy", "final", "wn", 0, final={"test": 0.8}, chosen_from=records[1]["id"], edge=False
    )
    found = measure(records, [final])["wn"]
    ids = [records[i]["id"] for i in (1, 2)]
    assert [found.chosen["id"], found.best["id"]] == ids
    assert found.edge is False


def curve(*tops):
    return {"epoch": list(range(1, len(tops) + 1)), "validation": list(tops)}


def test_epochs_to_target():
    soon, late, never = curve(0.5, 0.9, 0.8), curve(0.1, None, 0.9), curve(0.1, 0.2, 0.3)
    assert Target.from_curves([soon, late, never], 0.9) == Target((2, 3, None), 3)
    assert Target.from_curves([soon, late, never], 0.9).reached == 2
    assert Target.from_curves([soon, never, never], 0.9).median is None
    assert Target.from_curves([soon], None) == Target((), None)


def test_the_best_cell_is_that_of_validation_and_not_of_test():
    records = made_up.regularization({"wn": 0.9}, spread=0)
    for record in records:
        plain = record["spec"]["dropout"] == 0 and record["spec"]["weight_decay"] == 0
        record["final"]["validation"]["top1"] = 0.95 if plain else 0.9
        record["final"]["test"]["top1"] = 0.7 if plain else 0.9
    found = regularization(records, made_up.accuracy({"bn": 0.9, "wn": 0.8}, spread=0))
    assert (found.best.dropout, found.best.weight_decay) == (0.0, 0.0)
    assert found.before.value == pytest.approx(-0.1)
    assert found.after.value == pytest.approx(-0.2)


def test_a_cell_that_is_still_to_be_run_is_not_the_best():
    records = made_up.regularization({"wn": 0.9}, spread=0)
    best = [r for r in records if r["spec"]["dropout"] and r["spec"]["weight_decay"]]
    for record in best[1:]:
        records.remove(record)
    found = regularization(records)
    assert found.best.trials["id"].iloc[0] != best[0]["id"]
    assert len(found.best.trials) == 5
