"""Runs the trials of a study that are not done yet, and shows how many are done."""

import collections
import time
from collections.abc import Iterable
from typing import Any

from keras_wn.errors import UsageError
from keras_wn.study import fields
from keras_wn.study.forecast import Forecast
from keras_wn.study.log import Log
from keras_wn.study.questions import SUITES
from keras_wn.study.specs import Done, Planner, TrialSpec
from keras_wn.study.workers import Workers
from keras_wn.training.monitor import Screen

_POLL_SECONDS = 2.0


class Study:
    """Plans trials, hands them to workers, and appends their records to the log.

    Args:
        planner: `Planner`.
        suites: Names.
        log: `Log` that is started.
        workers: `Workers`.
        forecast: `Forecast`.
        shard: Pair `(index, count)`, from 1. This process does the trials of its shard, and waits
            for the trials of others where it needs them.
        patience: Seconds to wait for other shards without any news.
    """

    def __init__(
        self,
        planner: Planner,
        suites: tuple[str, ...],
        log: Log,
        workers: Workers,
        forecast: Forecast,
        shard: tuple[int, int] = (1, 1),
        patience: float = 3600.0,
    ):
        self._planner, self._suites, self._log, self._workers = planner, suites, log, workers
        self._shard, self._patience = shard, patience
        self._forecast = forecast
        self._processes: set[str] = set()
        self._left: list[TrialSpec] = []
        self._planned_after: int | None = None

    def run(self) -> None:
        """Runs trials until none is left to plan.

        Raises:
            UsageError: If the log cannot be written, or other shards do not go on.
        """
        done, left = self._done_and_left()
        news, known = time.monotonic(), len(done)
        total, _ = self._outlook(done, left)
        with Screen(shown=True).track("Trials", total, len(done)) as show:
            while left:
                at_work = self._workers.at_work
                mine = [spec for spec in left if self._is_mine(spec)]
                others = [spec for spec in left if not self._is_mine(spec)]
                note = _statuses(done.values())
                if not mine:
                    note.append(f"waiting for {self._in_words(others)}")
                show(len(done), *self._outlook(done, left), ", ".join(note))
                if len(done) > known or at_work:
                    news, known = time.monotonic(), len(done)
                if time.monotonic() - news > self._patience:
                    raise UsageError(
                        f"--shard={self._shard[0]}/{self._shard[1]}: {self._in_words(others)} are "
                        f"not done, and none was for {self._patience / 60:.0f} minutes. Allowed: "
                        "start the missing shards, and this one again."
                    )
                self._workers.start([spec for spec in mine if spec.id not in at_work])
                if self._workers.at_work:
                    self._collect()
                else:
                    time.sleep(_POLL_SECONDS)
                done, left = self._done_and_left()
        print(", ".join([f"{len(done)} trials done", *_statuses(done.values())]) + ".")

    def planned(self, done: Done) -> list[TrialSpec]:
        """All trials that are known by now, each once, in the order of the suites."""
        specs = [spec for suite in self._suites for spec in SUITES[suite].plan(self._planner, done)]
        return list({spec.id: spec for spec in specs}.values())

    def _done_and_left(self):
        done = self._log.trials()
        # Planning takes about a second with thousands of trials, and only a trial changes a plan.
        if len(done) != self._planned_after:
            self._left = [spec for spec in self.planned(done) if spec.id not in done]
            self._planned_after = len(done)
        return done, self._left

    def _collect(self):
        for process, records in self._workers.finished(_POLL_SECONDS):
            if process["id"] not in self._processes:
                self._log.append(process)
                self._processes.add(process["id"])
            self._log.append(*({**record, "process": process["id"]} for record in records))
            for record in records:
                if seconds := record["seconds"].get("total"):
                    self._forecast.learn(fields.read(TrialSpec, record["spec"]), seconds)

    def _is_mine(self, spec):
        return self._shard_of(spec) == self._shard[0]

    def _shard_of(self, spec):
        # Trials that are timed in turns belong to one shard.
        return (0 if spec.together else int(spec.id, 16)) % self._shard[1] + 1

    def _in_words(self, specs):
        """Trials by their shards, for example `trials of other shards (3 of 2/4, 1 of 4/4)`."""
        counts = collections.Counter(map(self._shard_of, specs))
        shards = [f"{counts[index]} of {index}/{self._shard[1]}" for index in sorted(counts)]
        return f"trials of other shards ({', '.join(shards)})"

    def _outlook(self, done, left):
        """The number of all trials, and the seconds until this process is through."""
        return self._forecast.total(done, left), self._forecast.seconds_left(done, left)


def _statuses(records: Iterable[dict[str, Any]]) -> list[str]:
    """The numbers of trials that did not finish, for example `["3 diverged"]`."""
    counts = collections.Counter(record["status"] for record in records)
    return [f"{counts[status]} {status}" for status in ("diverged", "crashed") if counts[status]]
