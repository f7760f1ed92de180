"""Puts the summaries of all suites together."""

import dataclasses
from collections.abc import Iterable

from keras_wn.study import accuracy, cost, stability
from keras_wn.study.table import TrialTable

# The parts that the seconds of a trial are recorded in.
PARTS = ("training", "evaluation", "building")


@dataclasses.dataclass(frozen=True, eq=False)
class Results:
    """The summaries of the suites; the summary of a suite without trials is empty.

    Attributes:
        table: The trials that they are made from.
        accuracy, signal, cost: From a method to its summary.
        stability, regularization: The summaries.
    """

    table: TrialTable
    accuracy: dict[str, accuracy.MethodAccuracy]
    stability: stability.Stability
    regularization: accuracy.Regularization
    signal: dict[str, stability.MethodSignal]
    cost: dict[str, cost.MethodCost]

    @classmethod
    def from_records(cls, records: Iterable[dict]) -> "Results":
        """Summarizes the lines of trials.jsonl.

        Args:
            records: The lines, in any order, which has no influence on the results.

        Raises:
            ValueError: If the records are not the log of a study.

        Example:

        >>> Results.from_records([{"kind": "protocol", "classes": 10}]).accuracy
        {}
        """
        table = TrialTable.from_records(records)
        return cls(
            table=table,
            accuracy=accuracy.summarize_accuracy(table),
            stability=stability.summarize_stability(table),
            regularization=accuracy.summarize_regularization(table),
            signal=stability.summarize_signal(table),
            cost=cost.summarize_cost(table),
        )


@dataclasses.dataclass(frozen=True)
class TimeSpent:
    """The seconds of the trials, added up over the processes that worked side by side.

    Attributes:
        suites: From a suite to the seconds of each of `PARTS`.
        starting: Seconds that the processes took to start.
    """

    suites: dict[str, dict[str, float]]
    starting: float

    @classmethod
    def from_table(cls, table: TrialTable) -> "TimeSpent":
        """Adds up the seconds of a table.

        Example:

        >>> table = TrialTable.from_records([{"kind": "protocol", "classes": 10}])
        >>> TimeSpent.from_table(table).training_share
        0.0
        """
        columns = [f"{part}_seconds" for part in PARTS]
        sums = table.frame.groupby("suite", sort=False)[columns].sum()
        suites = {row.Index: dict(zip(PARTS, row[1:], strict=True)) for row in sums.itertuples()}
        starts = (process.get("starting_seconds") or 0.0 for process in table.processes)
        return cls(suites, sum(starts))

    @property
    def total(self) -> float:
        """All seconds."""
        return self.starting + sum(sum(seconds.values()) for seconds in self.suites.values())

    @property
    def training_share(self) -> float:
        """Share of all seconds that went to training steps."""
        training = sum(seconds["training"] for seconds in self.suites.values())
        return training / self.total if self.total else 0.0
