"""An answer to a claim, and what it rests on."""

import dataclasses

from keras_wn.study.analysis.claims import decide
from keras_wn.study.statistics import Estimate

AGREES = "agrees"
DISAGREES = "disagrees"
UNDECIDED = "not decidable at this scale"
UNMEASURED = "not measured"

_OUTCOMES = {True: AGREES, False: DISAGREES, None: UNDECIDED}


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One number that bears on a claim.

    Attributes:
        method: Name.
        quantity: What was measured, in words.
        unit: `points` (of top-1), `share`, `ratio` or `decades`: how the number is to be written.
        estimate: `Estimate`, or None if there was nothing to take it of.
        trials: Tuple of the ids of the trials that it comes from.
        holds: Whether what the claim says of it decidably holds; None if that is not decidable.
        beside: Whether it is shown beside the verdict, which does not rest on it.
        bound: Text, what an interval must not include for a decision.
        pairs: What n counts.
    """

    method: str
    quantity: str
    unit: str
    estimate: Estimate | None
    trials: tuple
    holds: bool | None = None
    beside: bool = False
    bound: str = "0"
    pairs: str = "seeds"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The answer to one claim.

    Attributes:
        outcome: `AGREES`, `DISAGREES`, `UNDECIDED` or `UNMEASURED`.
        evidence: Tuple of `Evidence`.
        reason: Why, in a line.
    """

    outcome: str
    evidence: tuple
    reason: str


def of_all(evidence, needs, absent=(), remark="", name=lambda piece: piece.method):
    """The verdict on a claim that all pieces of evidence must bear out.

    It agrees if each decidably holds, disagrees if one decidably fails, and is not decidable otherwise.

    Args:
        evidence: Tuple of `Evidence`.
        needs: Text, what has to be measured, for a verdict where nothing was.
        absent: Names of methods that the claim is about, too, and that were not measured.
        remark: Text that ends the reason.
        name: Function from `Evidence` to what the reason calls it.

    Returns:
        `Verdict`.
    """
    counted = [piece for piece in evidence if not piece.beside]
    if all(piece.estimate is None for piece in counted):
        return Verdict(UNMEASURED, (), f"Needs {needs}.")
    outcome = _OUTCOMES[decide.all_of(piece.holds for piece in counted)]
    parts = [
        _named("holds for", [name(p) for p in counted if p.holds]),
        _named("fails for", [name(p) for p in counted if p.holds is False]),
        _named("undecided for", [f"{name(p)} ({_why(p)})" for p in counted if p.holds is None]),
        _named("not measured for", absent),
    ]
    reason = "; ".join(part for part in parts if part)
    return Verdict(
        outcome, tuple(evidence), " ".join([f"{reason[0].upper()}{reason[1:]}.", *([remark] if remark else [])])
    )


def _named(words, names):
    return f"{words} {', '.join(dict.fromkeys(names))}" if names else ""


def _why(piece):
    n = piece.estimate.n if piece.estimate else 0
    if n < decide.MINIMUM:
        return f"{n} paired {piece.pairs}, and {decide.MINIMUM} are needed"
    return f"the interval includes {piece.bound}"
