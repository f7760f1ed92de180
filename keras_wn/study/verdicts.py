"""Decides comparisons about differences: the rules that all claims share."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

from keras_wn.study import estimates
from keras_wn.study.estimates import Difference, Estimate

HOLDS = "holds"
FAILS = "fails"
EQUAL = "equal within the margin"
MIXED = "mixed"
UNDECIDED = "undecided"
UNMEASURED = "not measured"

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A difference that bears on a claim, before it is decided.

    Attributes:
        name: The method, or another name that tells it from the claim's other comparisons.
        quantity: The difference in words.
        unit: `points` (of top-1), `share`, `ratio` or `octaves`, which says how to write it.
        looks: The difference at each look that was reached.
        above, below: The outcomes if it is decidably above or below `bound`.
        bound: Float.
        equal: The outcome if it is decidably within `margin` of 0.
        margin: Positive float, or None if there is no such outcome.
        trials: Identities of the trials that it comes from.
        pairs: The name of the pairs.
        note: A remark, for example on trials that diverged.
        is_bound: Whether the trials only bound the difference, away from 0.
    """

    name: str
    quantity: str
    unit: str
    looks: tuple[Difference | None, ...]
    above: str
    below: str
    bound: float = 0.0
    equal: str = EQUAL
    margin: float | None = None
    trials: tuple[str, ...] = ()
    pairs: str = "seeds"
    note: str = ""
    is_bound: bool = False

    @property
    def latest(self) -> Difference | None:
        """The difference at the latest look."""
        return next((found for found in reversed(self.looks) if found is not None), None)


@dataclasses.dataclass(frozen=True)
class Piece:
    """A comparison with its answer.

    Attributes:
        comparison: `Comparison`.
        outcome: `HOLDS`, `FAILS`, `EQUAL`, `UNDECIDED`, `UNMEASURED`, or another outcome that the
            comparison names.
        estimate: The difference with its 95 % interval, or None.
        needed: The pairs with which it would likely be decided; infinity if no number of them is
            enough; None if it is decided, or if that is unknown.
        decides: Whether the verdict rests on it. Otherwise it is shown beside the verdict.
    """

    comparison: Comparison
    outcome: str
    estimate: Estimate | None
    needed: float | None = None
    decides: bool = True


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The answer to one claim.

    Attributes:
        outcome: `HOLDS`, `FAILS`, `EQUAL`, `MIXED`, `UNDECIDED` or `UNMEASURED`.
        pieces: The numbers that it rests on, and those beside it.
        reason: The reason, on one line.
    """

    outcome: str
    pieces: tuple[Piece, ...]
    reason: str


def decide(
    comparisons: Iterable[Comparison],
    counts: tuple[int, ...],
    level: float = 0.05,
    decides: bool = True,
) -> list[Piece]:
    """Decides the comparisons of a claim together.

    Args:
        comparisons: The comparisons, with different names.
        counts: The number of pairs at each planned look.
        level: Probability of any false decision on a bound, and of any on equality.
        decides: Whether the verdict rests on the answers.

    Example:

    >>> def asked(value):
    ...     looks = (Difference(value, error=0.1, freedom=19, n=20),)
    ...     return Comparison(f"{value:+}", "", "points", looks, HOLDS, FAILS, margin=0.5)
    >>> [piece.outcome for piece in decide(map(asked, (1.0, -1.0, 0.1, 0.45)), counts=(20,))]
    ['holds', 'fails', 'equal within the margin', 'holds']
    """
    comparisons = list(comparisons)
    reached = max((len(q.looks) for q in comparisons), default=0)

    def p_values(look, test):
        return {
            q.name: test(q, q.looks[look]) if look < len(q.looks) and q.looks[look] else 1.0
            for q in comparisons
        }

    def bound_test(comparison, found):
        return found.p_value(comparison.bound)

    def equality_test(comparison, found):
        return found.p_within(comparison.margin) if comparison.margin else 1.0

    on_bound, on_equality = (
        estimates.holm([p_values(look, test) for look in range(reached)], counts, level)
        for test in (bound_test, equality_test)
    )
    pieces = []
    for comparison in comparisons:
        found = comparison.latest
        if found is None:
            pieces.append(Piece(comparison, UNMEASURED, None, decides=decides))
            continue
        outcome, needed = UNDECIDED, None
        if on_equality[comparison.name] is not None:
            outcome = comparison.equal
        elif on_bound[comparison.name] is not None:
            decided = comparison.looks[on_bound[comparison.name]]
            outcome = comparison.above if decided.value > comparison.bound else comparison.below
        else:
            needed = pairs_to_decide(comparison, found, level / len(comparisons))
        pieces.append(Piece(comparison, outcome, found.interval(CONFIDENCE), needed, decides))
    return pieces


def pairs_to_decide(comparison: Comparison, found: Difference, level: float) -> float:
    """The number of pairs with which a difference like this one would likely be decided."""
    distances = [abs(found.value - comparison.bound)]
    if comparison.margin:
        distances.append(comparison.margin - abs(found.value))
    return estimates.pairs_needed(found, max(distances), level)


def combined(outcomes: Iterable[str]) -> str:
    """The outcome of a claim that several pieces must bear out.

    Example:

    >>> combined([HOLDS, HOLDS]), combined([HOLDS, UNDECIDED]), combined([])
    ('holds', 'mixed', 'not measured')
    """
    different = set(outcomes)
    if not different:
        return UNMEASURED
    return different.pop() if len(different) == 1 else MIXED


def conclude(pieces: Sequence[Piece], needs: str, remark: str = "") -> Verdict:
    """Concludes on a claim that all pieces must bear out.

    Args:
        pieces: The pieces.
        needs: The measurements that a verdict needs, named if there are none.
        remark: Text that ends the reason.
    """
    counted = [piece for piece in pieces if piece.decides]
    outcome = combined(piece.outcome for piece in counted)
    if outcome == UNMEASURED:
        return Verdict(UNMEASURED, (), f"Needs {needs}.")
    by_outcome: dict[str, list[str]] = {}
    for piece in counted:
        by_outcome.setdefault(piece.outcome, []).append(named(piece))
    parts = [f"{words}: {', '.join(names)}" for words, names in by_outcome.items()]
    reason = "; ".join(parts)
    return Verdict(outcome, tuple(pieces), f"{reason[0].upper()}{reason[1:]}. {remark}".rstrip())


def in_words(piece: Piece) -> str:
    """Says what would decide a piece that is undecided: `about 40 more seeds would decide`."""
    if not piece.needed:
        return ""
    if math.isinf(piece.needed):
        return f"more {piece.comparison.pairs} alone would not decide"
    return f"about {piece.needed - piece.estimate.n:,} more {piece.comparison.pairs} would decide"


def named(piece: Piece) -> str:
    """The name of a piece, with what would decide it if it is undecided."""
    needs = in_words(piece)
    return f"{piece.comparison.name} ({needs})" if needs else piece.comparison.name
