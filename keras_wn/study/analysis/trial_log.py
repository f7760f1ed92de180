"""The records of trials.jsonl, in order."""

import dataclasses
import json
from collections.abc import Mapping

from keras_wn.study.analysis.trial import Trial


@dataclasses.dataclass(frozen=True)
class TrialLog:
    """What trials.jsonl holds.

    Attributes:
        protocol: Dict, what makes the trials comparable.
        processes: Tuple of dicts, the processes that ran them, in the order of their start.
        trials: Tuple of `Trial`, in an order that does not depend on that of the lines.
    """

    protocol: Mapping
    processes: tuple
    trials: tuple

    @classmethod
    def of(cls, records):
        """The log that records describe.

        Args:
            records: List of dicts, the lines of trials.jsonl. Of several trials with one id, the last counts.

        Returns:
            `TrialLog`.

        Raises:
            ValueError: If there is no protocol among them, or several that differ.

        Example:

        >>> TrialLog.of([{"kind": "protocol", "classes": 10}]).trials
        ()
        """
        protocols = [record for record in records if record["kind"] == "protocol"]
        if not protocols:
            raise ValueError("There is no line of kind 'protocol': nothing says what the trials have in common.")
        if any(protocol != protocols[0] for protocol in protocols):
            raise ValueError("The lines of kind 'protocol' differ: trials of different protocols cannot be compared.")
        processes = {str(record["id"]): record for record in records if record["kind"] == "process"}
        trials = {str(record["id"]): Trial.of(record) for record in records if record["kind"] == "trial"}
        return cls(
            protocol=protocols[0],
            processes=tuple(sorted(processes.values(), key=lambda process: (str(process.get("time")), process["id"]))),
            trials=tuple(sorted(trials.values(), key=_place)),
        )

    @property
    def classes(self):
        """Number of classes."""
        return self.protocol["classes"]

    def select(self, **wanted):
        """Trials whose spec has these values, for example `select(suite="accuracy", method="wn")`."""
        return tuple(t for t in self.trials if all(t.spec.get(key) == value for key, value in wanted.items()))


def _place(trial):
    spec = trial.spec
    return (
        *(str(spec[key]) for key in ("suite", "stage", "model", "method")),
        *(float(spec.get(key) or 0) for key in ("round", "number", "dropout", "weight_decay", "learning_rate", "seed")),
        json.dumps(spec, sort_keys=True),
        trial.id,
    )
