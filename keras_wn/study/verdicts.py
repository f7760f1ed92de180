"""Decides from intervals: the rules that all claims share."""

import dataclasses
from collections.abc import Callable, Iterable

from keras_wn.study.statistics import Estimate

AGREES = "agrees"
DISAGREES = "disagrees"
UNDECIDED = "not decidable at this scale"
UNMEASURED = "not measured"

# Fewer pairs than these decide nothing.
MINIMUM = 5

_OUTCOMES = {True: AGREES, False: DISAGREES, None: UNDECIDED}
# Accuracies are float32, so that equal ones may differ by less than this.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One number that bears on a claim.

    Attributes:
        method: Name.
        quantity: The quantity in words.
        unit: `points` (of top-1), `share`, `ratio` or `decades`, which says how to write it.
        estimate: The number and its interval, or None if there was nothing to compare.
        trials: Ids of the trials that it comes from.
        holds: Whether the claim decidably holds for it; None if that is not decidable.
        beside: Whether it is shown beside the verdict, which does not rest on it.
        bound: The bound that an interval must not include for a decision, as text.
        pairs: The name of the pairs that `estimate.n` counts.
    """

    method: str
    quantity: str
    unit: str
    estimate: Estimate | None
    trials: tuple[str, ...]
    holds: bool | None = None
    beside: bool = False
    bound: str = "0"
    pairs: str = "seeds"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The answer to one claim.

    Attributes:
        outcome: `AGREES`, `DISAGREES`, `UNDECIDED` or `UNMEASURED`.
        evidence: The numbers that it rests on.
        reason: The reason, on one line.
    """

    outcome: str
    evidence: tuple[Evidence, ...]
    reason: str


def is_above(estimate: Estimate | None, bound: float) -> bool | None:
    """Decides whether a number lies above a bound.

    Returns:
        True if its whole interval lies above, False if its whole interval lies below. None, for
        not decidable, if the interval includes the bound or n is less than `MINIMUM`.

    Example:

    >>> is_above(Estimate(0.3, low=0.1, high=0.5, n=5), 0)
    True
    >>> print(is_above(Estimate(0.3, low=0.1, high=0.5, n=4), 0))
    None
    """
    if estimate is None or estimate.n < MINIMUM:
        return None
    if estimate.low > bound + _ROUNDING:
        return True
    return False if estimate.high < bound - _ROUNDING else None


def is_below(estimate: Estimate | None, bound: float) -> bool | None:
    """Decides whether a number lies below a bound, by the rule of `is_above`."""
    flag = is_above(estimate, bound)
    return None if flag is None else not flag


def all_hold(flags: Iterable[bool | None]) -> bool | None:
    """Returns False if one flag is False, True if each is True, else None.

    Example:

    >>> all_hold([True, None]), all_hold([False, None]), all_hold([True, True])
    (None, False, True)
    """
    flags = list(flags)
    if False in flags:
        return False
    return None if None in flags or not flags else True


def conclude(
    evidence: Iterable[Evidence],
    needs: str,
    absent: tuple[str, ...] = (),
    remark: str = "",
    name: Callable[[Evidence], str] = lambda piece: piece.method,
) -> Verdict:
    """Concludes on a claim that all pieces of evidence must bear out.

    The claim agrees if each piece decidably holds, disagrees if one decidably fails, and is not
    decidable otherwise.

    Args:
        evidence: The pieces.
        needs: The measurements that a verdict needs, named if there are none.
        absent: Methods that the claim is about and that were not measured.
        remark: Text that ends the reason.
        name: Returns the name of a piece in the reason.
    """
    evidence = tuple(evidence)
    counted = [piece for piece in evidence if not piece.beside]
    if all(piece.estimate is None for piece in counted):
        return Verdict(UNMEASURED, (), f"Needs {needs}.")
    parts = [
        _list("holds for", [name(p) for p in counted if p.holds]),
        _list("fails for", [name(p) for p in counted if p.holds is False]),
        _list("undecided for", [f"{name(p)} ({_why(p)})" for p in counted if p.holds is None]),
        _list("not measured for", absent),
    ]
    reason = "; ".join(part for part in parts if part)
    reason = f"{reason[0].upper()}{reason[1:]}. {remark}".rstrip()
    return Verdict(_OUTCOMES[all_hold(piece.holds for piece in counted)], evidence, reason)


def _list(words, names):
    return f"{words} {', '.join(dict.fromkeys(names))}" if names else ""


def _why(piece):
    n = piece.estimate.n if piece.estimate else 0
    if n < MINIMUM:
        return f"{n} paired {piece.pairs}, and {MINIMUM} are needed"
    return f"the interval includes {piece.bound}"
