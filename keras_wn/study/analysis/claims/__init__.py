"""The claims of the paper's abstract, in its order: a file each, with its rule."""

from keras_wn.study.analysis.claims import (
    closing_the_gap,
    free_of_cost,
    large_scale,
    share_of_step,
    small_data,
    stable_training,
)
from keras_wn.study.analysis.claims.claim import Claim, Reported
from keras_wn.study.analysis.claims.decide import MINIMUM
from keras_wn.study.analysis.claims.verdict import AGREES, DISAGREES, UNDECIDED, UNMEASURED, Evidence, Verdict

CLAIMS = tuple(
    module.CLAIM for module in (share_of_step, free_of_cost, small_data, large_scale, closing_the_gap, stable_training)
)


def judge(results):
    """The verdicts on all claims.

    Args:
        results: `Results`.

    Returns:
        Dict from `Claim` to `Verdict`, in the paper's order.

    Example:

    >>> from keras_wn.study.analysis import analyze
    >>> verdicts = judge(analyze([{"kind": "protocol", "classes": 10}]))
    >>> [(claim.key, verdict.outcome) for claim, verdict in verdicts.items()][0]
    ('C1', 'not measured')
    """
    return {claim: claim.judge(results) for claim in CLAIMS}


__all__ = [
    "AGREES",
    "CLAIMS",
    "DISAGREES",
    "MINIMUM",
    "UNDECIDED",
    "UNMEASURED",
    "Claim",
    "Evidence",
    "Reported",
    "Verdict",
    "judge",
]
