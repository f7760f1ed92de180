"""Holds the claims, each with the rule that decides it, in words.

The words are part of the log's first line, which is written before the first trial. The rules in
code are in `judges.py`.
"""

import dataclasses
from collections.abc import Callable

from keras_wn.study import judges
from keras_wn.study.table import TrialTable
from keras_wn.study.verdicts import Verdict

# Names the source of a reported finding: the paper itself, or a text about it.
READ = "read"
SECOND_HAND = "second-hand"

ABSTRACT = "Gitman & Ginsburg 2017, arXiv 1709.08145, abstract"
NOTES = "seminar notes on the paper, berkeley-deep-learning/cs294-131-f17"


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
        judge=judges.share_of_step,
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
        judge=judges.slowdown,
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
        judge=judges.small_data,
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
        judge=judges.gap,
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
        judge=judges.regularization,
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
        judge=judges.stability,
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
        judge=judges.batch_free,
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
