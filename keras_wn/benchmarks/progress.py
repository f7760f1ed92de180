"""What the screen shows while a benchmark runs."""

import sys
import time

from keras_wn.study.progress import minutes

_SECONDS_BETWEEN_LINES = 10.0


def counted(items):
    """Goes through a list and shows how far it is, on the standard error: each time on a terminal, every ten seconds elsewhere.

    Args:
        items: Iterable, whose items take about equally long.

    Yields:
        Its items.
    """
    items = list(items)
    live = sys.stderr.isatty()
    start = shown = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if live or now - shown > _SECONDS_BETWEEN_LINES:
            shown = now
            left = (now - start) / done * (len(items) - done)
            text = f"{done} of {len(items)} measured; about {minutes(left)} left"
            print(f"{text:<60}", end="\r" if live and done < len(items) else "\n", file=sys.stderr, flush=True)
