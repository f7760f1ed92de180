"""Runs the trials of a study that are not done yet, and shows how many are done."""

import collections
import itertools
import statistics
import time
from collections.abc import Iterable
from typing import Any

from keras_wn.study.log import Log
from keras_wn.study.plan import Done, Request, TrialSpec
from keras_wn.study.suites import SUITES
from keras_wn.study.workers import Workers
from keras_wn.training.errors import UsageError
from keras_wn.training.monitor import Screen

_POLL_SECONDS = 2.0


class Study:
    """Plans trials, hands them to workers, and appends their records to the log.

    Args:
        request: `Request`.
        suites: Names.
        log: `Log` that is started.
        workers: `Workers`.
        jobs: The number of workers.
        shard: Pair `(index, count)`, from 1. This process does the trials of its shard, and waits
            for the trials of others where it needs them.
        patience: Seconds to wait for other shards without any news.
    """

    def __init__(
        self,
        request: Request,
        suites: tuple[str, ...],
        log: Log,
        workers: Workers,
        jobs: int,
        shard: tuple[int, int] = (1, 1),
        patience: float = 3600.0,
    ):
        self._request, self._suites, self._log, self._workers = request, suites, log, workers
        self._shard, self._patience = shard, patience
        self._jobs = jobs
        # Seconds of the trials of this run, by the kind of trial.
        self._seconds: dict[tuple, list[float]] = collections.defaultdict(list)
        self._processes: set[str] = set()

    def run(self) -> None:
        """Runs trials until none is left to plan.

        Raises:
            UsageError: If the log cannot be written, or other shards do not go on.
        """
        done, left = self._done_and_left()
        news, known = time.monotonic(), len(done)
        with Screen(shown=True).track("Trials", len(done) + len(left), len(done)) as show:
            while left:
                at_work = self._workers.at_work
                mine = [spec for spec in left if self._is_mine(spec)]
                others = len(left) - len(mine)
                note = _statuses(done.values())
                if not mine:
                    note.append(f"waiting for {others} of other shards")
                total = len(done) + len(left)
                show(len(done), total, self._seconds_left(mine), ", ".join(note))
                if len(done) > known or at_work:
                    news, known = time.monotonic(), len(done)
                if time.monotonic() - news > self._patience:
                    raise UsageError(
                        f"--shard={self._shard[0]}/{self._shard[1]}: {others} trials of other "
                        f"shards are not done, and none was for {self._patience / 60:.0f} "
                        "minutes. Allowed: start those shards, and this one again."
                    )
                self._workers.start([spec for spec in mine if spec.id not in at_work])
                if self._workers.at_work:
                    self._collect()
                else:
                    time.sleep(_POLL_SECONDS)
                done, left = self._done_and_left()
        print(", ".join([f"{len(done)} trials done", *_statuses(done.values())]) + ".")

    def done(self) -> Done:
        """The trials in the log, by identity."""
        return {record["id"]: record for record in self._log.read() if record["kind"] == "trial"}

    def planned(self, done: Done) -> list[TrialSpec]:
        """All trials that are known by now, each once, in the order of the suites."""
        specs = [spec for suite in self._suites for spec in SUITES[suite](self._request, done)]
        return list({spec.id: spec for spec in specs}.values())

    def _done_and_left(self):
        done = self.done()
        return done, [spec for spec in self.planned(done) if spec.id not in done]

    def _collect(self):
        for process, records in self._workers.finished(_POLL_SECONDS):
            if process is not None and process["id"] not in self._processes:
                self._log.append(process)
                self._processes.add(process["id"])
            self._log.append(
                *({**record, "process": process and process["id"]} for record in records)
            )
            for record in records:
                if record["seconds"].get("total"):
                    self._seconds[_kind(record["spec"])].append(record["seconds"]["total"])

    def _is_mine(self, spec):
        index, count = self._shard
        # Trials that are timed in turns belong to one shard.
        return (0 if spec.together else int(spec.id, 16)) % count == index - 1

    def _seconds_left(self, specs):
        """The time that trials of this process will take, or None before one is done."""
        if not (specs and self._seconds):
            return None
        typical = {kind: statistics.mean(seconds) for kind, seconds in self._seconds.items()}
        # The mean over all trials stands for a kind of which none is done.
        overall = statistics.mean(itertools.chain(*self._seconds.values()))
        return sum(typical.get(_kind(vars(spec)), overall) for spec in specs) / self._jobs


def _kind(spec: dict[str, Any]) -> tuple:
    """Trials of one kind take about equally long."""
    return tuple(spec[name] for name in ("suite", "stage", "model", "train_size", "batch_size"))


def _statuses(records: Iterable[dict[str, Any]]) -> list[str]:
    """The numbers of trials that did not finish, for example `["3 diverged"]`."""
    counts = collections.Counter(record["status"] for record in records)
    return [f"{counts[status]} {status}" for status in ("diverged", "crashed") if counts[status]]
