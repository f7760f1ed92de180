"""Each value of a log is as the study writes it, or its place is named."""

import copy
import dataclasses
import json
import pathlib
from typing import ClassVar

import pytest

from keras_wn.errors import UsageError
from keras_wn.study import records
from keras_wn.study.fields import Count
from keras_wn.study.log import Log
from keras_wn.study.protocol import Protocol
from keras_wn.study.questions import SETTINGS
from tests.study.made_up import DECISIVE, World, log

LOG = pathlib.Path(__file__).parents[2] / "docs/study/trials.jsonl"


@pytest.fixture(scope="module")
def lines():
    """A log with a record of each kind."""
    made = log(World(), ("regularization", "signal"))
    benchmark = {"name": "wn_trelu:weighted", "moved": 1.0, "total": 2.0}
    made.append({"kind": "benchmark", "title": "a step", "rows": [benchmark]})
    made.append({"kind": "withdrawn", "reason": "a bug", "trials": [["0" * 12, "p0"]]})
    return json.loads(json.dumps(made))


def test_what_the_study_writes_is_taken(lines):
    assert {record["kind"] for record in lines} == set(records.KINDS)
    for record in lines:
        records.check(record)


def test_the_committed_log_is_taken_without_its_withdrawn_trials():
    found = Log(LOG).read()
    trials = [record for record in found if record["kind"] == "trial"]
    counted = records.trials_of(found)
    larger = [
        r["id"]
        for r in trials
        if dict(r["spec"]["options"]).get("statistics_batch", 0) > r["spec"]["batch_size"]
    ]
    assert len(larger) == 18 and {r["id"] for r in trials} - counted.keys() == set(larger)


NAME = 'x"><img src=q onerror="document.title=1">'


@pytest.mark.parametrize(
    "kind, place, value, message",
    [
        ("trial", ("spec", "method"), NAME, r"spec.method is 'x\"><img .* Allowed: none, bn, wn"),
        ("trial", ("spec", "method"), "a/../../x", "spec.method is 'a/../../x'. Allowed: none"),
        ("trial", ("spec", "method"), r"\q", "spec.method is "),
        ("trial", ("spec", "method"), ["wn"], "spec.method is .*wn"),
        ("trial", ("spec", "model"), NAME, "spec.model is .* Allowed: resnet18"),
        ("trial", ("spec", "suite"), NAME, "spec.suite is .* Allowed: accuracy, stability"),
        ("trial", ("spec", "stage"), NAME, "spec.stage is "),
        ("trial", ("spec", "seed"), "0", "spec.seed is '0'. Allowed: an integer of 0 or more"),
        ("trial", ("spec", "seed"), True, "spec.seed is True"),
        ("trial", ("spec", "learning_rate"), 10**400, "spec.learning_rate is 1000"),
        ("trial", ("spec", "learning_rate"), float("inf"), "spec.learning_rate is inf"),
        ("trial", ("spec", "options"), [[NAME, 1]], "spec.options.0 is .* a flag of the runner"),
        ("trial", ("spec", "options"), [["dropout", NAME]], "spec.options.0 is .* of --dropout"),
        (
            "trial",
            ("spec", "options"),
            [["join", "mean"]],
            "spec.options.0 is 'mean'. Allowed: sum",
        ),
        ("trial", ("spec", "splits"), ["train", "all"], "spec.splits.1 is 'all'. Allowed: train"),
        ("trial", ("spec", "extra"), 1, "the key in spec is 'extra'"),
        (
            "trial",
            ("spec", "seed"),
            12345,
            "id is '.*'. Allowed: .*, which is that of its settings",
        ),
        ("trial", ("id",), "../../x", "id is '../../x'. Allowed: text of the form"),
        ("trial", ("status",), NAME, "status is .* Allowed: finished, diverged, crashed"),
        ("trial", ("error",), 1, "error is 1. Allowed: text or null"),
        ("trial", ("final",), {NAME: None}, "the key in final is "),
        ("trial", ("final",), {"test": {"loss": 1.0}}, "final.test.top1 is missing"),
        ("trial", ("curves",), {"epoch": NAME}, "curves.epoch is .* Allowed: a list"),
        ("trial", ("correct",), NAME, "correct is "),
        ("trial", ("process",), NAME, "process is "),
        ("trial", ("step_seconds",), ["1"], "step_seconds.0 is '1'. Allowed: a number or null"),
        ("process", ("id",), NAME, "id is "),
        ("process", ("command",), 1, "command is 1. Allowed: text"),
        ("process", ("machine",), [], r"machine is \[\]. Allowed: an object"),
        ("benchmark", ("rows",), [{"name": NAME, "moved": 1, "total": 1}], "rows.0.name is "),
        ("withdrawn", ("trials",), [["0" * 12]], "trials.0 is .* Allowed: a list of 2"),
        ("protocol", ("dataset",), NAME, "--dataset=x.* unknown"),
        ("protocol", ("tuning", "settings"), None, "tuning.settings is None"),
        ("protocol", ("planned", "methods"), ["bnn"], "planned.methods.0 is 'bnn'"),
        ("protocol", ("images",), {}, "images.train is missing"),
        ("protocol", ("version",), "2", "version is '2'. Allowed: an integer"),
        ("protocol", ("work", "points"), [[1, "x", 2]], "work.points.0.1 is 'x'"),
        ("protocol", ("stability", "conditions"), [{}], "stability.conditions.0.models is missing"),
    ],
)
def test_what_it_would_not_write_is_refused_with_its_place(lines, kind, place, value, message):
    record = copy.deepcopy(next(record for record in lines if record["kind"] == kind))
    inside = record
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    with pytest.raises(ValueError, match=message) as error:
        records.check(record)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


@pytest.mark.parametrize("kind", records.KINDS)
def test_no_key_may_be_missing(lines, kind):
    """Only those that older logs lack."""
    record = next(record for record in lines if record["kind"] == kind)
    optional = {"correct", "effective_rate", "process", "commit", "starting_seconds", "data_dir"}
    optional |= {"ingredients"}  # A question that came later.
    for key in record.keys() - optional:
        with pytest.raises(ValueError, match=key):
            records.check({name: value for name, value in record.items() if name != key})


@pytest.mark.parametrize(
    "text", ['{"kind": "trial"}', "[" * 10**5, "NaN", "3", '"trial"', '{"kind": ["trial"]}']
)
def test_a_line_that_is_no_record_is_named(tmp_path, lines, text):
    path = tmp_path / "trials.jsonl"
    path.write_text(f"{json.dumps(lines[0])}\n{text}\n")
    with pytest.raises(UsageError, match=f"{path}, line 2: "):
        Log(path).read()


def test_a_question_that_comes_later_has_its_defaults_in_an_older_log(lines):
    @dataclasses.dataclass(frozen=True)
    class Later:
        name: ClassVar[str] = "later"
        seeds: Count = 3

    found = Protocol.read(lines[0], (*SETTINGS, Later))
    assert found.of("later") == Later() and found.of("cost") == DECISIVE.of("cost")
    with pytest.raises(ValueError, match="later.seeds is -1"):
        Protocol.read({**lines[0], "later": {"seeds": -1}}, (*SETTINGS, Later))
