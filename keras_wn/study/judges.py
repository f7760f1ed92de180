"""Judges the claims: the rules of `claims.py` in code."""

import dataclasses
import math

from keras_wn import methods
from keras_wn.study import estimates, table
from keras_wn.study.estimates import Difference
from keras_wn.study.formatting import with_unit
from keras_wn.study.plan import BASELINE
from keras_wn.study.questions import (
    accuracy_question,
    cell_in_words,
    cost_question,
    limit_question,
    limits_on,
    plain_limits,
    scored_trials,
    share_closed,
)
from keras_wn.study.table import TrialTable
from keras_wn.study.verdicts import (
    CONFIDENCE,
    EQUAL,
    FAILS,
    HOLDS,
    UNDECIDED,
    UNMEASURED,
    Piece,
    Verdict,
    conclude,
    decide,
    pairs_to_decide,
)

# C1: a share of the step that counts as significant.
SIGNIFICANT_SHARE = 0.10
# C2: a step that takes less than this times the step without normalization is not slowed down.
SLOWDOWN = 1.05
# C6 and C7: learning rates that differ by less than this factor count as equal. Learning rates are
# commonly searched on grids of factors of 2 and more.
LIMIT_FACTOR = 2.0
# C4: the gap that the paper reports for ImageNet, in points.
REPORTED_GAP = 6.0


def share_of_step(trials: TrialTable) -> Verdict:
    """C1: whether batch normalization takes a significant share of a training step."""
    questions = [
        cost_question(
            trials,
            batch_size,
            BASELINE,
            "share of the step in normalization",
            "share",
            lambda own, plain: 1 - plain / own,
            bound=SIGNIFICANT_SHARE,
            above=HOLDS,
            below=FAILS,
        )
        for batch_size in _timed_batches(trials)
    ]
    return conclude(
        _decided_by_rounds(trials, questions),
        needs="steps of bn and of none timed side by side",
        remark="The share on this machine is tested, and not its cause.",
    )


def slowdown(trials: TrialTable) -> Verdict:
    """C2: whether the paper's methods slow a training step down."""
    questions = [
        cost_question(
            trials,
            batch_size,
            method,
            "step time divided by that of none",
            "ratio",
            lambda own, plain: own / plain,
            bound=SLOWDOWN,
            above=FAILS,
            below=HOLDS,
        )
        for batch_size in _timed_batches(trials)
        for method in methods.FAMILY
    ]
    return conclude(
        _decided_by_rounds(trials, questions),
        needs="steps of wn, normprop or wn_trelu and of none timed side by side",
    )


def _timed_batches(trials):
    return sorted(set(trials.select(suite="cost")["batch_size"]))


def _decided_by_rounds(trials, questions):
    return decide(questions, (trials.protocol.cost["rounds"],), trials.protocol.level)


def _decided_by_seeds(trials, questions, beside=False):
    return decide(questions, trials.protocol.looks, trials.protocol.level, beside)


def small_data(trials: TrialTable) -> Verdict:
    """C3: whether the paper's methods test better than batch normalization on small data."""
    baseline, margin = trials.finals(BASELINE), trials.protocol.margin
    questions = [
        accuracy_question(trials, method, trials.finals(method), baseline, margin=margin)
        for method in methods.FAMILY
    ]
    others = [
        accuracy_question(trials, method, trials.finals(method), baseline, margin=margin)
        for method in trials.request.methods
        if method not in (*methods.FAMILY, BASELINE) and len(trials.finals(method))
    ]
    return conclude(
        [*_decided_by_seeds(trials, questions), *_decided_by_seeds(trials, others, beside=True)],
        needs=f"{trials.protocol.looks[0]} final trials of bn and of wn, normprop or wn_trelu",
        remark=_data_in_words(trials),
    )


def _data_in_words(trials):
    protocol, images = trials.protocol, trials.record["images"]
    return (
        f"This is {protocol.model} on {images['train']} images of {protocol.dataset} of "
        f"{protocol.image_size} pixels."
    )


def gap(trials: TrialTable) -> Verdict:
    """C4: whether weight normalization trains as well as batch normalization, and tests lower."""
    wn, bn, margin = trials.finals("wn"), trials.finals(BASELINE), trials.protocol.margin
    train = accuracy_question(
        trials, "train", wn, bn, "wn's train top-1 minus bn's", "train", bound=-margin
    )
    test = accuracy_question(
        trials,
        "test",
        wn,
        bn,
        "wn's test top-1 minus bn's",
        above=FAILS,
        below=HOLDS,
        equal=FAILS,
        margin=margin,
    )
    gap = dataclasses.replace(
        test,
        name="gap of 6 points",
        quantity="wn's test top-1 minus bn's, against a gap of 6 points",
        bound=-REPORTED_GAP,
        above="the gap is smaller",
        below="the gap is larger",
        margin=None,
    )
    return conclude(
        [
            # Each part is a question of its own.
            *_decided_by_seeds(trials, [train]),
            *_decided_by_seeds(trials, [test]),
            *_decided_by_seeds(trials, [gap], beside=True),
        ],
        needs=f"{trials.protocol.looks[0]} final trials of bn and of wn",
        remark=_data_in_words(trials) + " ImageNet was not trained on.",
    )


def regularization(trials: TrialTable) -> Verdict:
    """C5: whether regularizers leave weight normalization's gap open."""
    margin = trials.protocol.margin
    wn, bn = trials.finals("wn"), trials.finals(BASELINE)
    scored, bn_scored = (scored_trials(trials, method) for method in ("wn", BASELINE))
    rule = {"above": FAILS, "below": HOLDS, "margin": margin}
    before = accuracy_question(trials, "wn as tuned", wn, bn, equal=EQUAL, **rule)
    after = accuracy_question(
        trials, f"wn with {cell_in_words(scored)}", scored, bn, equal=FAILS, **rule
    )
    others = [
        accuracy_question(
            trials,
            f"wn with {cell_in_words(scored)}, against bn with {cell_in_words(bn_scored)}",
            scored,
            bn_scored,
            **rule,
        ),
        accuracy_question(trials, f"bn with {cell_in_words(bn_scored)}", bn_scored, bn, **rule),
    ]
    # The paper tried these two alone.
    alone = scored_trials(trials, "wn", "scored_alone")
    if len(alone):
        others.insert(
            0,
            accuracy_question(
                trials, f"wn with {cell_in_words(alone)}", alone, bn, equal=FAILS, **rule
            ),
        )
    if before.latest is None or after.latest is None:
        return conclude([], needs="the cells of wn, and final trials of bn and of wn")
    [gap] = _decided_by_seeds(trials, [before])
    [left] = _decided_by_seeds(trials, [after])
    beside = [
        dataclasses.replace(gap, beside=True),
        *_decided_by_seeds(trials, [q for q in others if q.latest], beside=True),
    ]
    if gap.outcome != HOLDS:
        reason = {
            EQUAL: "There is no gap to close: wn as tuned is equal to bn within the margin.",
            FAILS: "There is no gap to close: wn as tuned tests above bn.",
        }.get(gap.outcome, "Whether there is a gap to close is undecided.")
        outcome = EQUAL if gap.outcome == EQUAL else UNDECIDED
        pieces = (dataclasses.replace(gap, beside=False), left, *beside[1:])
        return Verdict(outcome, pieces, reason)
    share = share_closed(trials)
    remark = ""
    if share is not None and math.isfinite(share.low) and math.isfinite(share.high):
        remark = f"It closes {with_unit(share, 'share')} of the gap."
    return conclude([left, *beside], needs="", remark=remark)


def stability(trials: TrialTable) -> Verdict:
    """C6: whether deep nets train less stably with the paper's methods."""
    limits, seeds = plain_limits(trials), trials.protocol.stability["seeds"]
    measured = limits[limits["method"].isin(methods.FAMILY)]["model"]
    model = max(set(measured), key=table.depth, default=None)
    margin = math.log2(LIMIT_FACTOR)
    questions = [
        limit_question(
            method,
            limits_on(limits, model, method),
            limits_on(limits, model, BASELINE),
            f"largest stable learning rate of bn divided by its own, on {model}",
            seeds,
            margin=margin,
        )
        for method in methods.FAMILY
    ]
    return conclude(
        decide(questions, (seeds,), trials.protocol.level),
        needs=f"limits of bn and of wn, normprop or wn_trelu for {seeds} seeds",
    )


def batch_free(trials: TrialTable) -> Verdict:
    """C7: whether a method without batch statistics is as accurate and as stable."""
    protocol = trials.protocol
    margin, factor = protocol.margin, math.log2(LIMIT_FACTOR)
    limits, baseline = plain_limits(trials), trials.finals(BASELINE)
    free = [
        method
        for method in trials.request.methods
        if not methods.get(method).batch_statistics and len(trials.finals(method))
    ]
    is_planned = {method: method in trials.record["planned"]["methods"] for method in free}
    deciding = {BASELINE, *(method for method in free if is_planned[method])}
    models = [
        model
        for model in set(limits["model"])
        if deciding <= set(limits[limits["model"] == model]["method"])
    ]
    model = max(models, key=table.depth, default=None)
    if not free or model is None:
        return conclude([], needs="final trials and limits of bn and of other methods")
    seeds = protocol.stability["seeds"]
    pairs = []
    for method in free:
        accuracy = accuracy_question(trials, method, trials.finals(method), baseline, bound=-margin)
        limit = limit_question(
            method,
            limits_on(limits, model, BASELINE),
            limits_on(limits, model, method),
            f"its largest stable learning rate divided by that of bn, on {model}",
            seeds,
            bound=-factor,
        )
        pairs.append((accuracy, limit))
    # What was added after the plan cannot decide.
    planned = [pair for pair in pairs if is_planned[pair[0].name]]
    outcomes = _meets_both(planned, protocol)
    added = [pair for pair in pairs if not is_planned[pair[0].name]]
    decided = [
        *_pieces_of_pairs(planned, outcomes, protocol.level),
        *_pieces_of_pairs(added, _meets_both(added, protocol), protocol.level, beside=True),
    ]
    meets = [name for name, outcome in outcomes.items() if outcome == HOLDS]
    undecided = [name for name, outcome in outcomes.items() if outcome == UNDECIDED]
    if meets:
        return Verdict(HOLDS, tuple(decided), f"It holds for {', '.join(meets)}.")
    if not decided or set(outcomes.values()) == {UNMEASURED}:
        return conclude([], needs="final trials and limits of bn and of other methods")
    if undecided:
        missed = [name for name, outcome in outcomes.items() if outcome == FAILS]
        rest = f"; missed by {', '.join(missed)}" if missed else ""
        return Verdict(UNDECIDED, tuple(decided), f"Undecided for {', '.join(undecided)}{rest}.")
    return Verdict(FAILS, tuple(decided), "Each method decidably misses one of the two.")


def _pieces_of_pairs(pairs, outcomes, level, beside=False):
    """The pieces of both questions on each method, which share its outcome."""
    pieces = []
    for pair in pairs:
        outcome = outcomes[pair[0].name]
        for question in pair:
            if (found := question.latest) is None:
                continue
            needed, own_level = None, level / len(pairs)
            if outcome == UNDECIDED and found.p_value(question.bound) > own_level:
                needed = pairs_to_decide(question, found, own_level)
            estimate = found.interval(CONFIDENCE)
            pieces.append(Piece(question, outcome, estimate, needed, beside))
    return pieces


def _meets_both(pairs, protocol):
    """The outcome of each method that must be above both of its bounds."""
    counts = protocol.looks
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
            [p_values(look, test, together) for look in range(reached)], counts, protocol.level
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
