"""Runs the trials of a study that are not done yet."""

import time

from keras_wn.study.progress import Progress
from keras_wn.study.suites import SUITES
from keras_wn.training.errors import UsageError

_POLL_SECONDS = 2.0


class Study:
    """Plans trials, hands them to workers, and appends what comes back to the log, until nothing is left to plan.

    Args:
        request: `Request`.
        suites: Names.
        log: `Log` that is started.
        workers: `Workers`.
        jobs: Their number.
        shard: Pair `(index, count)`, from 1: this process does the trials that fall to it, and waits for others' where it needs them.
        patience: Seconds to wait for other shards without any news.
    """

    def __init__(self, request, suites, log, workers, jobs, shard=(1, 1), patience=3600.0):
        self._request, self._suites, self._log, self._workers = request, suites, log, workers
        self._shard, self._patience = shard, patience
        self._progress = Progress(jobs)
        self._processes = set()

    def run(self):
        """Does what is left to do.

        Raises:
            UsageError: If the log cannot be written, or other shards do not go on.
        """
        news, known = time.monotonic(), 0
        while True:
            done = self.done()
            left = [spec for spec in self.planned(done) if spec.id not in done]
            at_work = self._workers.at_work
            mine = [spec for spec in left if self._is_mine(spec) and spec.id not in at_work]
            others = [spec for spec in left if not self._is_mine(spec)]
            self._progress.show(
                list(done.values()), left, () if mine or at_work else others, last=not left
            )
            if not left:
                return
            if len(done) > known or at_work:
                news, known = time.monotonic(), len(done)
            if time.monotonic() - news > self._patience:
                raise UsageError(
                    f"--shard={self._shard[0]}/{self._shard[1]}: {len(others)} trials of other shards are not done, and none was for "
                    f"{self._patience / 60:.0f} minutes. Allowed: start those shards, and this one again."
                )
            self._workers.start(mine)
            if self._workers.at_work:
                self._collect()
            else:
                time.sleep(_POLL_SECONDS)

    def done(self):
        """The trials in the log, by identity."""
        return {record["id"]: record for record in self._log.read() if record["kind"] == "trial"}

    def planned(self, done):
        """All trials that can be told by now, each once, those of the first suite first."""
        specs = [spec for suite in self._suites for spec in SUITES[suite](self._request, done)]
        return list({spec.id: spec for spec in specs}.values())

    def _collect(self):
        for process, records in self._workers.finished(_POLL_SECONDS):
            if process is not None and process["id"] not in self._processes:
                self._log.append(process)
                self._processes.add(process["id"])
            self._log.append(
                *({**record, "process": process and process["id"]} for record in records)
            )
            self._progress.add(records)

    def _is_mine(self, spec):
        index, count = self._shard
        # Trials that are timed in turns are one shard's.
        return (0 if spec.alone else int(spec.id, 16)) % count == index - 1
