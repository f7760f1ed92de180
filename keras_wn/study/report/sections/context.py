"""What every section is made from."""

import dataclasses

from keras_wn.study.analysis import Results
from keras_wn.study.report.groups import Groups


@dataclasses.dataclass(frozen=True)
class Context:
    """What every section is made from.

    Attributes:
        results: `Results`.
        verdicts: Dict from `Claim` to `Verdict`.
        groups: `Groups` of the same log.
    """

    results: Results
    verdicts: dict
    groups: Groups

    @property
    def protocol(self):
        """Dict of what the trials have in common."""
        return self.results.log.protocol

    def answers(self, suite):
        """Names of the claims that a suite answers, for example `C3, C4`."""
        return ", ".join(claim.key for claim in self.verdicts if claim.suite == suite)


def unmeasured(suite):
    """Text that says that a suite has no trials."""
    return f"Not measured: there are no trials of the suite {suite}."


def endings(counts):
    """`Counts` as text.

    Example:

    >>> from keras_wn.study.analysis.counts import Counts
    >>> endings(Counts(finished=4, diverged=1, crashed=0))
    '5 (1 diverged)'
    """
    bad = [f"{n} {word}" for n, word in ((counts.diverged, "diverged"), (counts.crashed, "crashed")) if n]
    return f"{counts.total} ({', '.join(bad)})" if bad else str(counts.total)
