"""Asks for a method without batch statistics that is as accurate and as stable as with them.

It plans no trials of its own: it judges those on accuracy and on stability together.
"""

import math
from collections.abc import Iterator, Sequence

from keras_wn import methods
from keras_wn.study import canvas, comparisons, estimates, forest, limits, table
from keras_wn.study.blocks import Block, figures_of
from keras_wn.study.canvas import Panel, line_of, panel, style_of
from keras_wn.study.estimates import Difference
from keras_wn.study.formatting import listed
from keras_wn.study.question import Claim, Question, Verdicts
from keras_wn.study.specs import BASELINE
from keras_wn.study.table import TrialTable
from keras_wn.study.trial_lists import TrialLinks
from keras_wn.study.verdicts import (
    CONFIDENCE,
    FAILS,
    HOLDS,
    UNDECIDED,
    UNMEASURED,
    Comparison,
    Piece,
    Verdict,
    conclude,
    pairs_to_decide,
)

# The comparisons of a method's top-1 and of its limit with those of the baseline.
Pair = tuple[Comparison, Comparison]


def judge(trials: TrialTable) -> Verdict:
    """C7: whether a method without batch statistics is as accurate and as stable."""
    protocol, plain = trials.protocol, limits.plain(trials)
    free = [
        method
        for method in trials.methods
        if not methods.get(method).batch_statistics and len(trials.finals(method))
    ]
    planned = [method for method in free if method in trials.record["planned"]["methods"]]
    models = [
        model
        for model in set(plain["model"])
        if {BASELINE, *planned} <= set(plain[plain["model"] == model]["method"])
    ]
    model = max(models, key=table.depth, default=None)
    if not free or model is None:
        return _unmeasured()
    pairs = {method: _compared(trials, method, plain, model) for method in free}
    # Methods that were added after the plan cannot decide.
    decisive = [pair for method, pair in pairs.items() if method in planned]
    added = [pair for method, pair in pairs.items() if method not in planned]
    outcomes = _meets_both(decisive, trials)
    pieces = (
        *_pieces(decisive, outcomes, protocol.level),
        *_pieces(added, _meets_both(added, trials), protocol.level, decides=False),
    )
    by_outcome = {
        wanted: ", ".join(name for name, outcome in outcomes.items() if outcome == wanted)
        for wanted in (HOLDS, FAILS, UNDECIDED)
    }
    if by_outcome[HOLDS]:
        return Verdict(HOLDS, pieces, f"It holds for {by_outcome[HOLDS]}.")
    if not pieces or set(outcomes.values()) == {UNMEASURED}:
        return _unmeasured()
    if by_outcome[UNDECIDED]:
        rest = f"; missed by {by_outcome[FAILS]}" if by_outcome[FAILS] else ""
        return Verdict(UNDECIDED, pieces, f"Undecided for {by_outcome[UNDECIDED]}{rest}.")
    return Verdict(FAILS, pieces, "Each method decidably misses one of the two.")


def _unmeasured():
    return conclude([], needs="final trials and limits of bn and of other methods")


def _compared(trials, method, plain, model) -> Pair:
    baseline, margin = trials.finals(BASELINE), trials.protocol.margin
    return (
        comparisons.in_top1(trials, method, trials.finals(method), baseline, bound=-margin),
        limits.compared(
            method,
            limits.of(plain, model, BASELINE),
            limits.of(plain, model, method),
            f"its largest stable learning rate divided by that of bn, on {model}",
            trials.protocol.of(limits.SUITE).seeds,
            bound=-math.log2(limits.FACTOR),
        ),
    )


def _meets_both(pairs: Sequence[Pair], trials: TrialTable) -> dict[str, str]:
    """The outcome of each method that must be above both of its bounds."""
    protocol = trials.protocol
    reached = max((len(accuracy.looks) for accuracy, _ in pairs), default=0)

    def p_values(look, test, together):
        found = {}
        for accuracy, limit in pairs:
            known = look < len(accuracy.looks) and accuracy.looks[look] and limit.latest
            found[accuracy.name] = (
                together(
                    test(accuracy.looks[look], accuracy.bound), test(limit.latest, limit.bound)
                )
                if known
                else 1.0
            )
        return found

    # To meet both, each test must say so. To miss one, either may, at half the level.
    met, missed = (
        estimates.holm(
            [p_values(look, test, together) for look in range(reached)],
            protocol.looks,
            protocol.level,
        )
        for test, together in (
            (Difference.p_above, max),
            (Difference.p_below, lambda a, b: min(1.0, 2 * min(a, b))),
        )
    )
    return {
        accuracy.name: UNMEASURED
        if accuracy.latest is None or limit.latest is None
        else HOLDS
        if met[accuracy.name] is not None
        else FAILS
        if missed[accuracy.name] is not None
        else UNDECIDED
        for accuracy, limit in pairs
    }


def _pieces(pairs, outcomes, level, decides=True):
    """The pieces of both comparisons of each method, which share its outcome."""
    for pair in pairs:
        outcome = outcomes[pair[0].name]
        for comparison in pair:
            if (found := comparison.latest) is None:
                continue
            needed, own_level = None, level / len(pairs)
            if outcome == UNDECIDED and found.p_value(comparison.bound) > own_level:
                needed = pairs_to_decide(comparison, found, own_level)
            yield Piece(comparison, outcome, found.interval(CONFIDENCE), needed, decides)


def _evidence(trials: TrialTable, verdict: Verdict, links: TrialLinks) -> Iterator[Block]:
    by_name: dict[str, list[Piece]] = {}
    for piece in verdict.pieces:
        by_name.setdefault(piece.comparison.name, []).append(piece)
    pairs = [tuple(found) for found in by_name.values() if len(found) == 2]
    yield from figures_of(
        "Up is more accurate, right is more stable. Methods in the shaded area meet both.",
        _draw(pairs, trials.protocol.margin) if pairs else [],
    )


def _draw(pairs: Sequence[tuple[Piece, Piece]], margin: float) -> list[Panel]:
    """Draws each method's difference in top-1 against the ratio of its learning-rate limit."""

    def draw(figure):
        axes = figure.subplots()
        for accuracy, limit in pairs:
            color = style_of(accuracy.comparison.name).color
            x, y = limit.estimate, accuracy.estimate
            if limit.comparison.is_bound:
                x = forest.without_interval(x)
            axes.plot([x.low, x.high], [y.value] * 2, color=color, lw=1.2)
            axes.plot([x.value] * 2, [y.low, y.high], color=color, lw=1.2)
            axes.plot(x.value, y.value, **line_of(accuracy.comparison.name, ls="", ms=7, mec="k"))
        axes.axhline(0, color="#555555", lw=1)
        axes.axvline(0, color="#555555", lw=1)
        right, top = max(axes.get_xlim()[1], 0.5), max(axes.get_ylim()[1], margin)
        left = -math.log2(limits.FACTOR)
        axes.fill_between([left, right], -margin, top, color="#e8eef3", lw=0, zorder=0)
        axes.set(xlim=(None, right), ylim=(None, top))
        forest.write_octaves(axes, "×")
        axes.set_xlabel(f"largest stable learning rate / that of {BASELINE}")
        axes.set_ylabel(f"test top-1 minus {BASELINE}'s, points")
        names = [accuracy.comparison.name for accuracy, _ in pairs]
        canvas.legend(figure, [line_of(name, ls="") for name in names])

    alt = f"Test top-1 against stability, each compared with {BASELINE}. The goal is shaded."
    return [panel("batch_free", alt, draw, height=4.4)]


def findings(verdicts: Verdicts) -> Sequence[str]:
    """The sentence on a method without batch statistics."""
    verdict = verdicts["C7"]
    if verdict.outcome == UNMEASURED:
        return [
            "Whether a method without batch statistics can take its place was not measured in "
            "this study."
        ]
    pieces = [piece for piece in verdict.pieces if piece.decides]
    found = dict.fromkeys(p.comparison.name for p in pieces if p.outcome == HOLDS)
    if found:
        return [
            "There is a method without batch statistics that is as accurate and as stable as batch "
            f"normalization: {listed(list(found))}."
        ]
    if verdict.outcome == FAILS:
        return [
            "None of the methods without batch statistics is both as accurate and as stable as "
            "batch normalization."
        ]
    return [
        "Whether a method without batch statistics is as accurate and as stable as batch "
        "normalization is undecided."
    ]


QUESTION = Question(
    name="batch_free",
    claims=(
        Claim(
            key="C7",
            text="There is a method without batch statistics that tests as well as batch "
            "normalization and trains as stably, at the same tuning budget.",
            rule="Holds if for one method without batch statistics, test top-1 is decidably not "
            "more than {margin:g} points below bn's, and the largest stable learning rate is "
            "decidably not less than half of bn's. Fails if each of them decidably misses one of "
            "the two. The learning rate is that of the deepest network that all methods were "
            "measured on, as for C6. The p-value of a method is the larger one of its two.",
            judge=judge,
            evidence=_evidence,
        ),
    ),
    findings=findings,
    place=5,
)
