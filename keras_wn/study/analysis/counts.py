"""How trials ended."""

import collections
import dataclasses


@dataclasses.dataclass(frozen=True)
class Counts:
    """Numbers of trials by their end.

    Attributes:
        finished: Trained to their end, with finite losses.
        diverged: Ended with a loss that is not finite. They count with what they reached.
        crashed: Ended by an error of the program. They have no result.
    """

    finished: int
    diverged: int
    crashed: int

    @classmethod
    def of(cls, trials):
        """The counts of trials.

        Example:

        >>> Counts.of([])
        Counts(finished=0, diverged=0, crashed=0)
        """
        by_status = collections.Counter(trial.status for trial in trials)
        return cls(*(by_status[status] for status in ("finished", "diverged", "crashed")))

    @property
    def total(self):
        """Number of all of them."""
        return self.finished + self.diverged + self.crashed
