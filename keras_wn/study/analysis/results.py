"""What all suites say, from the records of trials.jsonl."""

import dataclasses

from keras_wn.study.analysis import accuracy, cost, regularization, signal, stability
from keras_wn.study.analysis.trial_log import TrialLog


@dataclasses.dataclass(frozen=True)
class Results:
    """What the suites say; a suite without trials is empty.

    Attributes:
        log: `TrialLog`.
        accuracy: Dict from method to `MethodAccuracy`.
        stability: `Stability`.
        regularization: `Regularization`.
        signal: Dict from method to `MethodSignal`.
        cost: Dict from method to `MethodCost`.
    """

    log: TrialLog
    accuracy: dict
    stability: stability.Stability
    regularization: regularization.Regularization
    signal: dict
    cost: dict


def analyze(records):
    """The results of a study.

    Args:
        records: List of dicts, the lines of trials.jsonl, in any order.

    Returns:
        `Results`: the same for the same trials, whatever their order.

    Raises:
        ValueError: If the records are no study's log.

    Example:

    >>> analyze([{"kind": "protocol", "classes": 10}]).accuracy
    {}
    """
    log = TrialLog.of(records)
    return Results(log, *(suite.measure(log) for suite in (accuracy, stability, regularization, signal, cost)))
