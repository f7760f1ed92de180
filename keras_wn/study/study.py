"""Runs the trials of a study that are not done yet, and shows how far it is."""

import collections
import sys
import time
from typing import Any

from keras_wn.study.log import Log
from keras_wn.study.plan import SUITES, Done, Request, TrialSpec
from keras_wn.study.workers import Workers
from keras_wn.training.errors import UsageError
from keras_wn.training.monitor import duration

_POLL_SECONDS = 2.0
_SECONDS_BETWEEN_LINES = 10.0


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
        self._progress = Progress(jobs)
        self._processes = set()

    def run(self) -> None:
        """Runs trials until none is left to plan.

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
                    f"--shard={self._shard[0]}/{self._shard[1]}: {len(others)} trials of other "
                    f"shards are not done, and none was for {self._patience / 60:.0f} minutes. "
                    "Allowed: start those shards, and this one again."
                )
            self._workers.start(mine)
            if self._workers.at_work:
                self._collect()
            else:
                time.sleep(_POLL_SECONDS)

    def done(self) -> Done:
        """The trials in the log, by identity."""
        return {record["id"]: record for record in self._log.read() if record["kind"] == "trial"}

    def planned(self, done: Done) -> list[TrialSpec]:
        """All trials that are known by now, each once, in the order of the suites."""
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
        # Trials that are timed in turns belong to one shard.
        return (0 if spec.alone else int(spec.id, 16)) % count == index - 1


class ProgressLine:
    """Shows a line again and again: each time on a terminal, every ten seconds elsewhere.

    Args:
        stream: Stream that is written to.
    """

    def __init__(self, stream: Any):
        self._stream = stream
        self._live = stream.isatty()
        self._shown = -_SECONDS_BETWEEN_LINES

    def show(self, text: Any, last: bool = False) -> None:
        """Shows a text if it is time.

        Args:
            text: Function that makes the text.
            last: Boolean, whether this is the last call.
        """
        now = time.monotonic()
        if last or self._live or now - self._shown > _SECONDS_BETWEEN_LINES:
            self._shown = now
            end = "\n" if last or not self._live else "\r"
            print(f"{text():<78}", end=end, file=self._stream, flush=True)


class Progress:
    """Counts of done and planned trials, with the time that is left.

    Args:
        jobs: Trials that run side by side.
    """

    def __init__(self, jobs: int):
        self._jobs = jobs
        self._durations = collections.defaultdict(list)
        self._line = ProgressLine(sys.stdout)

    def add(self, records: list[dict[str, Any]]) -> None:
        """Notes the time of trials that are done now."""
        for record in records:
            if record["seconds"].get("total"):
                self._durations[_kind(record["spec"])].append(record["seconds"]["total"])

    def show(
        self, done: list, planned: list[TrialSpec], waiting: Any = (), last: bool = False
    ) -> None:
        """Shows the state: each time on a terminal, every ten seconds elsewhere.

        Args:
            done: List of records.
            planned: List of `TrialSpec` that are not done, as far as they are known by now.
            waiting: The planned trials that belong to other shards.
            last: Boolean, whether this is the last call.
        """
        self._line.show(lambda: self._text(done, planned, waiting), last)

    def _text(self, done, planned, waiting):
        counts = collections.Counter(record["status"] for record in done)
        text = f"{len(done)} trials done, {len(planned)} to go"
        text += "".join(
            f", {counts[status]} {status}" for status in ("diverged", "crashed") if counts[status]
        )
        if waiting:
            text += f"; {len(waiting)} of them other shards'"
        elif planned and self._durations:
            text += f"; about {duration(self._left(planned))} left"
        return text

    def _left(self, planned):
        everything = [seconds for durations in self._durations.values() for seconds in durations]
        # The mean over all trials stands for a kind of which none is done.
        typical = {kind: _mean(durations) for kind, durations in self._durations.items()}
        return (
            sum(typical.get(_kind(vars(spec)), _mean(everything)) for spec in planned) / self._jobs
        )


def _kind(spec):
    return spec["suite"], spec["stage"], spec["model"]


def _mean(values):
    return sum(values) / len(values)
