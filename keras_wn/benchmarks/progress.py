"""What the screen shows while something long runs."""

import sys
import time

_SECONDS_BETWEEN_LINES = 10.0


class ProgressLine:
    """A line that is shown again and again: each time on a terminal, every ten seconds elsewhere.

    Args:
        stream: Where it is written.
        at_once: Boolean, whether the first line is written at once also elsewhere than on a terminal.
    """

    def __init__(self, stream, at_once=True):
        self._stream = stream
        self._live = stream.isatty()
        self._shown = -_SECONDS_BETWEEN_LINES if at_once else time.monotonic()

    def show(self, text, last=False):
        """Shows a text if it is time.

        Args:
            text: What to show; or a function that makes it.
            last: Boolean, whether nothing more comes.
        """
        now = time.monotonic()
        if last or self._live or now - self._shown > _SECONDS_BETWEEN_LINES:
            self._shown = now
            end = "\n" if last or not self._live else "\r"
            print(
                f"{text() if callable(text) else text:<78}", end=end, file=self._stream, flush=True
            )

    def end(self):
        """Leaves what a terminal shows standing."""
        if self._live:
            print(file=self._stream, flush=True)


def counted(items, warm_up=0):
    """Goes through a list and shows how far it is, on the standard error, if that takes more than ten seconds.

    Args:
        items: Iterable.
        warm_up: How many of them come first and take longer; the others take about equally long.

    Yields:
        Its items.
    """
    items = list(items)
    line = ProgressLine(sys.stderr, at_once=False)
    start = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if done <= warm_up:
            start = time.monotonic()
            line.show(f"{done} of {warm_up} to warm up")
        else:
            left = (time.monotonic() - start) / (done - warm_up) * (len(items) - done)
            line.show(
                f"{done - warm_up} of {len(items) - warm_up} measured; about {minutes(left)} left"
            )
    line.end()


def minutes(seconds):
    """A duration as people say it."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
