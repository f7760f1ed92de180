"""A method beside the baseline."""

import dataclasses

from keras_wn.study.analysis import estimates
from keras_wn.study.statistics import Estimate


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A method minus the baseline, paired by seed; top-1 from 0 to 1.

    Attributes:
        train, test: `Estimate` of the mean difference in final top-1, or None.
        gap: The same for the generalization gap.
        improvement: `Estimate` of the probability that a run of the method tests better than one of the baseline.
    """

    train: Estimate | None
    test: Estimate | None
    gap: Estimate | None
    improvement: Estimate | None

    @classmethod
    def of(cls, trials, baseline, classes):
        """The comparison of final trials.

        Args:
            trials, baseline: Final trials of the method and of the baseline.
            classes: Number of classes.

        Returns:
            `Comparison`.
        """
        train, test = ([estimates.tops(t, split, classes) for t in (trials, baseline)] for split in ("train", "test"))
        gap = [estimates.gaps(t, classes) for t in (trials, baseline)]
        return cls(
            train=estimates.paired(*train),
            test=estimates.paired(*test),
            gap=estimates.paired(*gap),
            improvement=estimates.improvement(*(found.values() for found in test)),
        )
