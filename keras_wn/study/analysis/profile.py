"""What the time of a study went to."""

import collections
import dataclasses

# What the seconds of a trial are made of.
PARTS = ("training", "evaluation", "building")


@dataclasses.dataclass(frozen=True)
class Profile:
    """Seconds of trials, added up over the processes that worked side by side.

    Attributes:
        suites: Dict from the name of a suite to a dict from each of `PARTS` to seconds.
        starting: Seconds that the processes took to start.
    """

    suites: dict
    starting: float

    @classmethod
    def of(cls, log):
        """The profile of a `TrialLog`.

        Example:

        >>> from keras_wn.study.analysis.trial_log import TrialLog
        >>> Profile.of(TrialLog.of([{"kind": "protocol", "classes": 10}])).training_share
        0.0
        """
        suites = collections.defaultdict(lambda: dict.fromkeys(PARTS, 0.0))
        for trial in log.trials:
            for part in PARTS:
                suites[trial.spec["suite"]][part] += trial.seconds.get(part) or 0.0
        starting = sum(process.get("starting_seconds") or 0.0 for process in log.processes)
        return cls(dict(suites), starting)

    @property
    def total(self):
        """All seconds."""
        return self.starting + sum(sum(seconds.values()) for seconds in self.suites.values())

    @property
    def training_share(self):
        """Share of all seconds that went to training steps."""
        training = sum(seconds["training"] for seconds in self.suites.values())
        return training / self.total if self.total else 0.0
