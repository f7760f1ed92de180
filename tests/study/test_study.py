"""Plans, hands out and collects trials, with workers that answer without training."""

import threading

import pytest

from keras_wn.errors import UsageError
from keras_wn.study.forecast import Forecast
from keras_wn.study.log import Log
from keras_wn.study.questions import SUITES
from keras_wn.study.study import Study
from keras_wn.study.workers import Workers
from tests.study.made_up import DATA, PROCESS, TINY, all_done, result


class Answering:
    """Stands for `Worker`: gives every trial a result at once, and remembers its trials."""

    def __init__(self, given, status="finished"):
        self.networks, self._given, self._status = set(), given, status

    def run(self, specs):
        self.networks.update(spec.network for spec in specs)
        self._given.append((threading.get_ident(), specs))
        return {**PROCESS, "id": f"p{id(self):x}"}, [
            result(spec, 0.5, self._status) for spec in specs
        ]

    def close(self, at_once=False):
        pass


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path / "trials.jsonl")
    log.start(TINY.record(DATA, ("bn", "wn"), ("accuracy",), {}))
    return log


@pytest.fixture
def study(log, planner_of):

    def make(
        given,
        suites=("accuracy", "stability"),
        jobs=2,
        shard=(1, 1),
        patience=5.0,
        status="finished",
        lanes=1,
        **asked,
    ):
        workers = Workers(lambda beside: Answering(given, status), jobs, lanes=lanes)
        asked = planner_of(**asked)
        # Each shard is a process with a log of its own.
        own = Log(log.path)
        forecast = Forecast(asked, suites, own.trials(), 128, 1 / shard[1], jobs)
        return Study(asked, suites, own, workers, forecast, shard, patience)

    return make


def ids(given):
    return [spec.id for _, specs in given for spec in specs]


def test_every_trial_is_run_once_and_logged(study, log, planner_of):
    given = []
    study(given, tuple(SUITES)).run()
    plans = [question.plan for question in SUITES.values()]
    everything = {key for plan in plans for key in all_done(plan, planner_of())}
    assert len(ids(given)) == len(set(ids(given)))
    assert set(ids(given)) == everything == set(log.trials())


def test_what_is_done_is_not_done_again(study):
    first, second = [], []
    study(first, ("accuracy",)).run()
    study(second, ("accuracy", "stability")).run()
    assert not set(ids(first)) & set(ids(second)) and second
    third = []
    study(third).run()
    assert third == []


def test_more_methods_add_to_the_trials_in_the_log(study):
    first, second = [], []
    study(first, methods=("bn", "wn")).run()
    study(second, methods=("bn", "wn", "none")).run()
    assert {spec.method for _, specs in second for spec in specs} == {"none"}


def test_crashed_trials_do_not_stop_the_rest(study, log):
    given = []
    study(given, status="crashed").run()
    assert {record["status"] for record in log.trials().values()} == {"crashed"}
    assert {spec.stage for _, specs in given for spec in specs} == {"tune", "final", "search"}


def test_shards_split_the_trials_and_wait_for_each_other(study):
    given = [[], []]
    shards = [threading.Thread(target=study(given[i], shard=(i + 1, 2)).run) for i in range(2)]
    for shard in shards:
        shard.start()
    for shard in shards:
        shard.join(timeout=60)
        assert not shard.is_alive()
    first, second = map(ids, given)
    assert first and second and not set(first) & set(second)
    alone = []
    study(alone).run()
    assert alone == []


def test_a_shard_that_nobody_joins_says_for_whom_it_waits(study, log):
    given = []
    with pytest.raises(
        UsageError, match=r"--shard=1/2: trials of other shards .\d+ of 2/2. are not done"
    ):
        study(given, shard=(1, 2), patience=0.1).run()
    assert set(ids(given)) == set(log.trials())


def test_trials_timed_in_turns_are_handed_out_together_and_last(study):
    given = []
    study(given, ("cost", "stability")).run()
    *_, (_, last) = given
    assert [spec.suite for spec in last] == ["cost"] * 3
    assert all(len(specs) == 1 for _, specs in given[:-1])


def test_a_network_stays_with_its_worker_while_there_is_another_for_the_others(study):
    given = []
    study(given, ("stability",)).run()
    builders = {}
    for thread, specs in given:
        builders.setdefault(specs[0].network, set()).add(thread)
    assert len(given) >= 8 and len(builders) == 2


def test_trials_of_one_network_are_handed_out_for_lanes_together(study, log, planner_of):
    given = []
    study(given, tuple(SUITES), lanes=3).run()
    assert len(ids(given)) == len(set(ids(given))) == len(log.trials())
    in_lanes = [specs for _, specs in given if not specs[0].together]
    assert max(map(len, in_lanes)) == 3
    assert all(len({spec.lane for spec in specs}) == 1 for specs in in_lanes)
