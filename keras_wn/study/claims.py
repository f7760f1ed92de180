"""Holds the claims, each with the rule that decides it, in words and in code.

The words are part of the log's first line, which is written before the first trial.
"""

import dataclasses
import math
from collections.abc import Callable

from keras_wn import methods
from keras_wn.study import statistics, table
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
from keras_wn.study.statistics import Difference
from keras_wn.study.table import FAMILY, TrialTable
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
)

# Names the source of a reported finding: the paper itself, or a text about it.
READ = "read"
SECOND_HAND = "second-hand"

ABSTRACT = "Gitman & Ginsburg 2017, arXiv 1709.08145, abstract"
NOTES = "seminar notes on the paper, berkeley-deep-learning/cs294-131-f17"

# C1: a share of the step that counts as significant.
SIGNIFICANT_SHARE = 0.10
# C2: a step that takes less than this times the step without normalization is not slowed down.
SLOWDOWN = 1.05
# C6 and C7: learning rates that differ by less than this factor count as equal. Learning rates are
# commonly searched on grids of factors of 2 and more.
LIMIT_FACTOR = 2.0
# C4: the gap that the paper reports for ImageNet, in points.
REPORTED_GAP = 6.0


@dataclasses.dataclass(frozen=True)
class Reported:
    """A finding of the paper.

    Attributes:
        text: The finding, with its number if there is one.
        source: The text in which it was read.
        tag: `READ` if that is the paper itself, or `SECOND_HAND`.
    """

    text: str
    source: str
    tag: str


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim, and the rule that decides it.

    Attributes:
        key: Short name.
        text: The claim in the words of this study.
        suite: Name of the suite that answers it.
        rule: The rule in words. `{margin}` stands for the protocol's margin in points.
        judge: The rule in code.
        reported: The findings of the paper that the claim rests on. Empty for our own question.
    """

    key: str
    text: str
    suite: str
    rule: str
    judge: Callable[[TrialTable], Verdict]
    reported: tuple[Reported, ...] = ()


def judge(trials: TrialTable) -> dict[Claim, Verdict]:
    """Judges all claims, in the paper's order."""
    return {claim: claim.judge(trials) for claim in CLAIMS}


def _judge_share_of_step(trials):
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


def _judge_slowdown(trials):
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
        for method in FAMILY
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


def _judge_small_data(trials):
    baseline, margin = trials.finals(BASELINE), trials.protocol.margin
    questions = [
        accuracy_question(trials, method, trials.finals(method), baseline, margin=margin)
        for method in FAMILY
    ]
    others = [
        accuracy_question(trials, method, trials.finals(method), baseline, margin=margin)
        for method in trials.request.methods
        if method not in (*FAMILY, BASELINE) and len(trials.finals(method))
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


def _judge_gap(trials):
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


def _judge_regularization(trials):
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
        remark = f"It closes {share.value:.0%} [{share.low:.0%}, {share.high:.0%}] of the gap."
    return conclude([left, *beside], needs="", remark=remark)


def _judge_stability(trials):
    limits, seeds = plain_limits(trials), trials.protocol.stability["seeds"]
    measured = limits[limits["method"].isin(FAMILY)]["model"]
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
        for method in FAMILY
    ]
    return conclude(
        decide(questions, (seeds,), trials.protocol.level),
        needs=f"limits of bn and of wn, normprop or wn_trelu for {seeds} seeds",
    )


def _judge_batch_free(trials):
    protocol = trials.protocol
    margin, factor = protocol.margin, math.log2(LIMIT_FACTOR)
    limits, baseline = plain_limits(trials), trials.finals(BASELINE)
    free = [
        method
        for method in trials.request.methods
        if not methods.get(method).batch_statistics and len(trials.finals(method))
    ]
    models = [
        model
        for model in set(limits["model"])
        if {BASELINE, *free} <= set(limits[limits["model"] == model]["method"])
    ]
    model = max(models, key=table.depth, default=None)
    if not free or model is None:
        return conclude([], needs="final trials and limits of bn and of other methods")
    seeds = protocol.stability["seeds"]
    pieces = []
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
        pieces.append((accuracy, limit))
    outcomes = _meets_both(pieces, protocol)
    decided = [
        Piece(question, outcomes[question.name], question.latest.interval(CONFIDENCE))
        for pair in pieces
        for question in pair
        if question.latest is not None
    ]
    meets = [name for name, outcome in outcomes.items() if outcome == HOLDS]
    undecided = [name for name, outcome in outcomes.items() if outcome == UNDECIDED]
    if meets:
        return Verdict(HOLDS, tuple(decided), f"It holds for {', '.join(meets)}.")
    if not decided or set(outcomes.values()) == {UNMEASURED}:
        return conclude([], needs="final trials and limits of bn and of other methods")
    if undecided:
        return Verdict(
            UNDECIDED, tuple(decided), f"Undecided for {', '.join(undecided)}; missed by the rest."
        )
    return Verdict(FAILS, tuple(decided), "Each method decidably misses one of the two.")


def _meets_both(pairs, protocol):
    """The outcome of each method that must be above both of its bounds."""
    counts = protocol.looks
    reached = max(len(accuracy.looks) for accuracy, _ in pairs)

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
        statistics.holm(
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


GENERAL = (
    "A difference is paired by seed. Its interval is Student's, and for test top-1 its error "
    "includes the noise of the test images, which are crossed with the seeds. At each look, the "
    "level is that of Lan and DeMets for {level:g} over all looks, with Holm's correction over "
    "the methods of a claim. Two methods are equal within a margin if two one-sided tests say so "
    "at the same level, even if the small difference between them is decided, too. Trials that "
    "diverged are left out of differences, and counted beside them."
)

CLAIMS = (
    Claim(
        key="C1",
        text="Batch normalization takes a significant share of the training time.",
        suite="cost",
        rule="Holds for a batch size if the share of a step of bn that a step without "
        "normalization does not take is decidably above 10 %, and fails if decidably below. The "
        "pairs are rounds, in which the methods take turns. That 10 % is significant is our "
        "choice.",
        judge=_judge_share_of_step,
        reported=(
            Reported(
                "A significant fraction of the run time; bound by memory bandwidth.",
                ABSTRACT,
                READ,
            ),
            Reported(
                "24 % of ResNet's compute on a Pascal GPU, where convolutions take 60 %.",
                NOTES,
                SECOND_HAND,
            ),
        ),
    ),
    Claim(
        key="C2",
        text="WN, NormProp and WN with TReLU do not slow training steps.",
        suite="cost",
        rule="Holds for a method and batch size if its step takes decidably less than 1.05 times "
        "that of the net without normalization, and fails if decidably more. The 1.05 is our "
        "choice.",
        judge=_judge_slowdown,
        reported=(Reported("They do not slow down training iterations.", ABSTRACT, READ),),
    ),
    Claim(
        key="C3",
        text="On small networks and data sets, WN, NormProp and WN with TReLU test better than "
        "batch normalization.",
        suite="accuracy",
        rule="Holds for a method if its test top-1 is decidably above bn's, fails if decidably "
        "below, and is equal if within {margin:g} points. The margin is half of the smallest "
        "difference that the paper's readers report on small data, or more where the test images "
        "are too few.",
        judge=_judge_small_data,
        reported=(
            Reported(
                "They outperform BN on relatively small networks and data sets, by others' "
                "experiments.",
                ABSTRACT,
                READ,
            ),
            Reported(
                "On CIFAR-10 with a shallow net, the best of them tests 1 to 2 points above BN.",
                NOTES,
                SECOND_HAND,
            ),
        ),
    ),
    Claim(
        key="C4",
        text="Weight normalization trains at least as well as batch normalization, and tests lower "
        "(by about 6 points for ResNet-50 on ImageNet).",
        suite="accuracy",
        rule="Its first part holds if wn's train top-1 is decidably not more than {margin:g} "
        "points below bn's, and fails if decidably more below. Its second part holds if wn's test "
        "top-1 is decidably below bn's, and fails if decidably above, or equal within {margin:g} "
        "points. Whether the gap is smaller than 6 points is tested beside. Train top-1 is "
        "measured in inference mode on images as they are.",
        judge=_judge_gap,
        reported=(
            Reported(
                "Better train accuracy, and a final test accuracy about 6 points lower.",
                ABSTRACT,
                READ,
            ),
            Reported(
                "Test top-1 of WN about 67.0 %; of BN then about 73 %, by the 6 points.",
                "a curve labelled with the paper in the poster of eladhoffer/norm_matters",
                SECOND_HAND,
            ),
        ),
    ),
    Claim(
        key="C5",
        text="Dropout and weight decay do not close weight normalization's gap in test accuracy "
        "to batch normalization.",
        suite="regularization",
        rule="Decided only if wn as tuned tests decidably below bn: else there is no gap to "
        "close. Then holds if wn with the regularizers that are best on validation still tests "
        "decidably below bn as tuned, and fails if decidably above, or equal within {margin:g} "
        "points. Beside it stands the share of the gap that is closed, with Fieller's interval, "
        "and bn with its own best regularizers.",
        judge=_judge_regularization,
        reported=(
            Reported(
                "Dropout and weight decay did not compensate for BN's regularization.",
                ABSTRACT,
                READ,
            ),
        ),
    ),
    Claim(
        key="C6",
        text="Deep nets train less stably with WN, NormProp and WN with TReLU than with batch "
        "normalization.",
        suite="stability",
        rule="Holds for a method if its largest stable learning rate is decidably smaller than "
        "bn's, fails if decidably larger, and is equal if within a factor of 2. It is that of the "
        "deepest network, with the smallest batch, the start of the card and no warm-up. Other "
        "depths, batches, starts and warm-ups stand beside. The factor is our choice, because "
        "learning rates are commonly searched in steps of 2 or more.",
        judge=_judge_stability,
        reported=(
            Reported(
                "Training of deep networks is significantly less stable than with BN.",
                ABSTRACT,
                READ,
            ),
        ),
    ),
    Claim(
        key="C7",
        text="There is a method without batch statistics that tests as well as batch "
        "normalization and trains as stably, at the same tuning budget.",
        suite="accuracy",
        rule="Holds if for one method without batch statistics, test top-1 is decidably not more "
        "than {margin:g} points below bn's, and the largest stable learning rate is decidably not "
        "less than half of bn's. Fails if each of them decidably misses one of the two. The "
        "learning rate is that of the deepest network that all methods were measured on, as for "
        "C6. The p-value of a method is the larger one of its two.",
        judge=_judge_batch_free,
    ),
)


def rules(margin: float, level: float) -> dict[str, str]:
    """The rules in words, for the protocol's line of the log.

    Example:

    >>> rules(margin=0.5, level=0.05)["C3"][:56]
    'Holds for a method if its test top-1 is decidably above '
    """
    return {
        "all": GENERAL.format(level=level),
        **{claim.key: claim.rule.format(margin=margin) for claim in CLAIMS},
    }
