"""Times of several things in one process, taken in turn."""

import dataclasses
import itertools
import time

import numpy as np

from keras_wn.benchmarks.progress import counted


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Seconds of each thing in each round, and the first one as the baseline.

    Attributes:
        seconds: Dict from a name to an array, a number a round.
    """

    seconds: dict

    def rows(self):
        """For each name a dict: `name`, median `seconds`, and the median and quartiles of its ratio to the baseline, round by round."""
        baseline = next(iter(self.seconds.values()))
        return [
            {"name": name, "seconds": float(np.median(times)), **_ratio(times / baseline)}
            for name, times in self.seconds.items()
        ]


def interleaved(actions, rounds, warm_up=1):
    """Runs each action once a round, in the order A B C A B C.

    Args:
        actions: Dict from a name to a function; the first is the baseline. A function may return the seconds that count; else its
            whole time does.
        rounds: Positive integer.
        warm_up: Rounds before that are not counted.

    Returns:
        `Comparison`.

    Example:

    >>> comparison = interleaved({"short": lambda: 1.0, "long": lambda: 2.0}, rounds=3)
    >>> [(row["name"], row["ratio"]) for row in comparison.rows()]
    [('short', 1.0), ('long', 2.0)]
    """
    seconds = {name: [] for name in actions}
    for number, name in counted(
        itertools.product(range(warm_up + rounds), actions), warm_up * len(actions)
    ):
        start = time.perf_counter()
        own = actions[name]()
        taken = time.perf_counter() - start if own is None else own
        if number >= warm_up:
            seconds[name].append(taken)
    return Comparison({name: np.array(values) for name, values in seconds.items()})


def _ratio(ratios):
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    return {"ratio": float(median), "low": float(low), "high": float(high)}
