"""Interleaved timing: A B C A B C, so that a machine's slow minutes fall on all of them."""

import statistics
import time


def interleaved(steps, rounds):
    """Times functions in turns.

    Args:
        steps: Dict from a name to a function without arguments that returns when its work is done.
        rounds: Integer, how many times each is timed, after two that are not.

    Returns:
        Dict from the name to the list of seconds.
    """
    seconds = {name: [] for name in steps}
    for number in range(-2, rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if number >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds, baseline):
    """Median of the ratios round by round, and their quartiles."""
    ratios = [a / b for a, b in zip(seconds, baseline, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    return {"median": median, "low": low, "high": high}
