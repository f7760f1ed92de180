"""Judges the six claims of the paper's abstract, each by a rule in words and in code."""

import dataclasses
from collections.abc import Callable

import pandas as pd

from keras_wn.study import table
from keras_wn.study.cost import MethodCost
from keras_wn.study.results import Results
from keras_wn.study.stability import Sweep
from keras_wn.study.table import BASELINE, FAMILY, UNNORMALIZED
from keras_wn.study.verdicts import (
    MINIMUM,
    UNDECIDED,
    Evidence,
    Verdict,
    conclude,
    is_above,
    is_below,
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
# C4: a train top-1 that is lower by less than this still counts as equally good.
TRAIN_MARGIN = 0.01


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
    """A claim of the paper, and the rule that decides it.

    Attributes:
        key: Short name.
        text: The claim in the words of this study.
        reported: The findings that the claim rests on.
        suite: Name of the suite that answers it.
        rule: The rule in words. It says which thresholds are this study's choice.
        judge: The rule in code.
    """

    key: str
    text: str
    reported: tuple[Reported, ...]
    suite: str
    rule: str
    judge: Callable[[Results], Verdict]


def judge(results: Results) -> dict[Claim, Verdict]:
    """Judges all claims, in the paper's order.

    Example:

    >>> results = Results.from_records([{"kind": "protocol", "classes": 10}])
    >>> {claim.key: verdict.outcome for claim, verdict in judge(results).items()}["C1"]
    'not measured'
    """
    return {claim: claim.judge(results) for claim in CLAIMS}


def _judge_share_of_step(results):
    evidence = [
        Evidence(
            method,
            "share of the step's time in normalization",
            "share",
            cost.share,
            _timed_trials(results, cost),
            holds=is_above(cost.share, SIGNIFICANT_SHARE),
            bound="10 %",
            pairs="rounds",
        )
        for method, cost in results.cost.items()
        if method == BASELINE
    ]
    return conclude(
        evidence,
        needs="steps of bn and of none timed side by side",
        remark="The share on this machine is tested, and not its cause, which the paper sees in "
        "the memory's bandwidth.",
    )


def _judge_slowdown(results):
    evidence = [
        Evidence(
            method,
            "step time divided by that of none",
            "ratio",
            cost.ratio,
            _timed_trials(results, cost),
            holds=is_below(cost.ratio, SLOWDOWN),
            bound=str(SLOWDOWN),
            pairs="rounds",
        )
        for method, cost in results.cost.items()
        if method in FAMILY
    ]
    return conclude(
        evidence,
        needs="steps of wn, normprop or wn_trelu and of none timed side by side",
        absent=table.absent_from(results.cost),
    )


def _timed_trials(results, cost: MethodCost):
    """Returns the ids of the trials that a method's ratio to the plain network comes from."""
    plain = results.cost.get(UNNORMALIZED)
    return _ids(cost.trials, *([plain.trials] if plain else []))


def _judge_small_data(results):
    evidence = [
        Evidence(
            method,
            "test top-1 minus bn's",
            "points",
            found.against_baseline.test,
            _compared_trials(results, method),
            holds=is_above(found.against_baseline.test, 0),
        )
        for method, found in results.accuracy.items()
        if method in FAMILY
    ]
    needs = "final trials of bn and of wn, normprop or wn_trelu with the same seeds"
    return conclude(evidence, needs=needs, absent=table.absent_from(results.accuracy))


def _judge_large_scale(results):
    evidence = []
    if "wn" in results.accuracy:
        against = results.accuracy["wn"].against_baseline
        train = is_above(against.train, -TRAIN_MARGIN)
        test = is_below(against.test, 0)
        trials = _compared_trials(results, "wn")
        evidence = [
            Evidence(
                "wn",
                "train top-1 minus bn's",
                "points",
                against.train,
                trials,
                holds=train,
                bound="-1 point",
            ),
            Evidence("wn", "test top-1 minus bn's", "points", against.test, trials, holds=test),
        ]
    is_imagenet = str(results.table.protocol.get("dataset")).startswith("imagenet")
    return conclude(
        evidence,
        needs="final trials of bn and of wn with the same seeds",
        remark="The direction is what is decided; how large the gap is, the evidence says."
        if is_imagenet
        else "The size of the paper's gap, 6 points on ImageNet, is not tested: only its "
        "direction, at this scale.",
        name=lambda piece: piece.quantity.removesuffix(" minus bn's"),
    )


def _compared_trials(results, method):
    """Returns the ids of the final trials that a comparison with the baseline comes from."""
    methods = [name for name in (method, BASELINE) if name in results.accuracy]
    return _ids(*(results.accuracy[name].finals for name in methods))


def _judge_regularization(results):
    grids, quantity = results.regularization.methods, "test top-1 minus bn's, "

    def piece(method, words, estimate, trials, **more):
        ids = _ids(trials, results.regularization.baseline)
        return Evidence(method, f"{quantity}{words}", "points", estimate, ids, **more)

    def best(method, **more):
        cell, estimate = grids[method].best, grids[method].after
        if cell is None:
            return piece(method, "with a dropout", estimate, grids[method].finals[:0], **more)
        words = f"with dropout {cell.dropout:g} and weight decay {cell.weight_decay:g}"
        return piece(method, words, estimate, cell.trials, **more)

    found = grids.get("wn")
    gap = is_below(found.before, 0) if found else None
    evidence = []
    if found and found.before and found.after:
        evidence = [
            piece("wn", "as tuned", found.before, found.finals, holds=gap),
            best("wn", holds=is_below(found.after, 0)),
            *([best("wn_mobn", beside=True)] if "wn_mobn" in grids else []),
        ]
    verdict = conclude(
        evidence,
        needs="the grid of wn, and final trials of bn and of wn of suite accuracy with the same "
        "seeds",
        remark="To hold is to test below bn.",
        name=lambda piece: f"{piece.method} {piece.quantity.removeprefix(quantity)}",
    )
    if not evidence or gap:
        return verdict
    why = "there is no gap to close at this scale"
    if found.before.n < MINIMUM:
        why = f"{found.before.n} paired seeds, and {MINIMUM} are needed"
    reason = f"wn as tuned does not test decidably below bn: {why}."
    return Verdict(UNDECIDED, verdict.evidence, reason)


def _judge_stability(results):
    found = results.stability
    deepest = found.models[-1] if found.models else None
    baseline = found.sweeps.get((deepest, BASELINE))
    sweeps = [found.sweeps[deepest, m] for m in FAMILY if (deepest, m) in found.sweeps]
    evidence = [_less_stable(baseline, sweep) for sweep in sweeps] if baseline else []
    return conclude(
        [*evidence, *_drops_with_depth(found)],
        needs="sweeps of bn and of wn, normprop or wn_trelu on the same deepest network",
        absent=table.absent_from(sweep.method for sweep in sweeps),
        remark=_limits_beyond_the_grid([baseline, *sweeps] if baseline else [])
        + "A learning rate is another step size for normalized weights: the rates are compared "
        "as they are set.",
    )


def _less_stable(baseline: Sweep, sweep: Sweep):
    estimate = table.paired_mean(baseline.decades_by_seed, sweep.decades_by_seed)
    return Evidence(
        sweep.method,
        f"largest stable learning rate of bn divided by its own, on {sweep.model}",
        "decades",
        estimate,
        _ids(sweep.trials, baseline.trials),
        holds=is_above(estimate, 0),
    )


def _drops_with_depth(found):
    if len(found.models) < 2:
        return
    shallow, deep = found.models[0], found.models[-1]
    for method in (BASELINE, *FAMILY):
        ends = [found.sweeps.get((model, method)) for model in (shallow, deep)]
        if not all(ends):
            continue
        estimate = table.paired_mean(*(sweep.decades_by_seed for sweep in ends))
        if estimate:
            quantity = f"largest stable learning rate on {shallow} divided by that on {deep}"
            ids = _ids(*(sweep.trials for sweep in ends))
            yield Evidence(method, quantity, "decades", estimate, ids, beside=True)


def _limits_beyond_the_grid(sweeps):
    limits = [limit for sweep in sweeps for limit in sweep.limits.values()]
    hidden = sum(limit.censored is not None for limit in limits)
    if not hidden:
        return ""
    return f"{hidden} of {len(limits)} limits lie at an end of the grid, and may be further out. "


def _ids(*frames: pd.DataFrame):
    return tuple(trial for frame in frames for trial in frame["id"])


CLAIMS = (
    Claim(
        key="C1",
        text="Batch normalization takes a significant share of the training time, bound by the "
        "memory's bandwidth.",
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
        suite="cost",
        rule="Agrees if the share of a bn step that a step without normalization does not take is "
        "decidably above 10 %, disagrees if decidably below. That 10 % is significant is our "
        "choice.",
        judge=_judge_share_of_step,
    ),
    Claim(
        key="C2",
        text="WN, NormProp and WN with TReLU do not slow training steps.",
        reported=(Reported("They do not slow down training iterations.", ABSTRACT, READ),),
        suite="cost",
        rule="Agrees if the step of each takes decidably less than 1.05 times that of the net "
        "without normalization, disagrees if one takes decidably more. The 1.05 is our choice.",
        judge=_judge_slowdown,
    ),
    Claim(
        key="C3",
        text="On small networks and data sets, WN, NormProp and WN with TReLU test better than "
        "batch normalization.",
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
        suite="accuracy",
        rule="Agrees if test top-1 minus bn's, paired by seed, is decidably above 0 for each, "
        "disagrees if decidably below for one.",
        judge=_judge_small_data,
    ),
    Claim(
        key="C4",
        text="ResNet-50 on ImageNet: weight normalization trains at least as well as batch "
        "normalization, and tests about 6 points lower.",
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
        suite="accuracy",
        rule="Agrees if wn's train top-1 is decidably not more than 1 point below bn's (this "
        "margin is our choice) and its test top-1 decidably below bn's; disagrees if one of the "
        "two is decidably otherwise. Train top-1 is measured in inference mode on images as they "
        "are.",
        judge=_judge_large_scale,
    ),
    Claim(
        key="C5",
        text="Dropout and weight decay do not close weight normalization's gap in test accuracy "
        "to batch normalization.",
        reported=(
            Reported(
                "Dropout and weight decay did not compensate for BN's regularization.",
                ABSTRACT,
                READ,
            ),
        ),
        suite="regularization",
        rule="Decidable only if wn as tuned tests decidably below bn: else there is no gap to "
        "close. Then agrees if wn with the dropout and weight decay that are best on validation "
        "still tests decidably below bn, and disagrees if it tests decidably above.",
        judge=_judge_regularization,
    ),
    Claim(
        key="C6",
        text="Deep nets train less stably with WN, NormProp and WN with TReLU than with batch "
        "normalization.",
        reported=(
            Reported(
                "Training of deep networks is significantly less stable than with BN.",
                ABSTRACT,
                READ,
            ),
        ),
        suite="stability",
        rule="Agrees if the largest stable learning rate on the deepest network, paired by seed, "
        "is decidably smaller than bn's for each, disagrees if decidably larger for one.",
        judge=_judge_stability,
    ),
)
