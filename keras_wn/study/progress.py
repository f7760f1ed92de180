"""What the screen shows while a study runs."""

import collections
import sys
import time

from keras_wn.training.monitor import duration

_SECONDS_BETWEEN_LINES = 10.0


class ProgressLine:
    """Shows a line again and again: each time on a terminal, every ten seconds elsewhere.

    Args:
        stream: Stream that is written to.
    """

    def __init__(self, stream):
        self._stream = stream
        self._live = stream.isatty()
        self._shown = -_SECONDS_BETWEEN_LINES

    def show(self, text, last=False):
        """Shows a text if it is time.

        Args:
            text: Function that makes the text.
            last: Boolean, whether nothing more comes.
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

    def __init__(self, jobs):
        self._jobs = jobs
        self._durations = collections.defaultdict(list)
        self._line = ProgressLine(sys.stdout)

    def add(self, records):
        """Notes trials that are done now."""
        for record in records:
            if record["seconds"].get("total"):
                self._durations[_kind(record["spec"])].append(record["seconds"]["total"])

    def show(self, done, planned, waiting=(), last=False):
        """Shows the state: each time on a terminal, every ten seconds elsewhere.

        Args:
            done: List of records.
            planned: List of specifications that are not done, as far as they can be told by now.
            waiting: Those of them that belong to other shards.
            last: Boolean, whether nothing more comes.
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
        # A kind's first trial compiles; where nothing is known of a kind, all others stand for it.
        typical = {kind: _mean(durations) for kind, durations in self._durations.items()}
        return (
            sum(typical.get(_kind(vars(spec)), _mean(everything)) for spec in planned) / self._jobs
        )


def _kind(spec):
    return spec["suite"], spec["stage"], spec["model"]


def _mean(values):
    return sum(values) / len(values)
