"""Times several actions in one process, in turns, and compares them with the first.

The top of this file imports NumPy alone, because tests/peers/tfa_overhead.py times with it in
TensorFlow Addons' environment, which has neither Keras 3 nor rich.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

# An action is a function without arguments. It may return the seconds that count; otherwise the
# time of the whole call counts.
Action = Callable[[], float | None]
# A function of the number of items that are done by now, in a scope that shows it.
Progress = contextlib.AbstractContextManager[Callable[[int], None]]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Seconds of each action in each round, with the first action as the baseline.

    Attributes:
        seconds: Dict from a name to an array with a number for each round.
    """

    seconds: Mapping[Hashable, np.ndarray]

    def rows(self) -> list[dict[str, Any]]:
        """Rows of a table: a dict for each action, with `name`, median `seconds` and its ratio."""
        baseline = next(iter(self.seconds.values()))
        return [
            {"name": name, "seconds": float(np.median(times)), **compared(times, baseline)}
            for name, times in self.seconds.items()
        ]


def compared(values: np.ndarray, baseline: np.ndarray) -> dict[str, float]:
    """Divides values by a baseline round by round, and returns the median and the quartiles.

    Example:

    >>> compared(np.array([2.0, 3.0, 8.0]), np.array([1.0, 1.0, 2.0]))
    {'ratio': 3.0, 'low': 2.5, 'high': 3.5}
    """
    low, median, high = np.quantile(values / baseline, [0.25, 0.5, 0.75])
    return {"ratio": float(median), "low": float(low), "high": float(high)}


def interleaved(
    actions: Mapping[Hashable, Action],
    rounds: int,
    warm_up: int = 1,
    shows_progress: bool = True,
) -> Comparison:
    """Runs each action once a round, in the order A B C A B C.

    A temporary slowdown of the machine then affects all actions alike.

    Args:
        actions: Dict from a name to an `Action`. The first is the baseline.
        rounds: Positive integer.
        warm_up: Number of rounds that come before, and are not counted.
        shows_progress: Boolean, whether the standard error shows the time left.

    Returns:
        `Comparison`.

    Example:

    >>> comparison = interleaved({"short": lambda: 1.0, "long": lambda: 2.0}, rounds=3)
    >>> [(row["name"], row["ratio"]) for row in comparison.rows()]
    [('short', 1.0), ('long', 2.0)]
    """
    # Warm-up rounds compile, and say nothing about the time that the others take.
    _seconds("Warm-up", actions, warm_up, shows_progress)
    return Comparison(_seconds("Measurement", actions, rounds, shows_progress))


def progress(name: str, total: int) -> Progress:
    """Scope in which the standard error shows how many items are done, and the time left.

    Args:
        name: Name of the items.
        total: Number of items.

    Returns:
        Context manager of a function of the number of items that are done by now.
    """
    from keras_wn.training.monitor import Screen

    # No thread may draw while an action is timed, and the standard output holds tables alone.
    return Screen(shown=True, stderr=True, in_background=False).track(name, total)


def _seconds(name, actions, rounds, shows_progress):
    total = rounds * len(actions)
    scope = progress(name, total) if shows_progress else contextlib.nullcontext(lambda done: None)
    seconds = {action: [] for action in actions}
    with scope as show:
        for done, action in enumerate(list(actions) * rounds, start=1):
            start = time.perf_counter()
            own = actions[action]()
            seconds[action].append(time.perf_counter() - start if own is None else own)
            show(done)
    return {action: np.array(values) for action, values in seconds.items()}
