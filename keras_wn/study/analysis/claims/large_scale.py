"""C4: weight normalization trains as well as batch normalization, and tests worse."""

from keras_wn.study.analysis.claims import decide
from keras_wn.study.analysis.claims.claim import ABSTRACT, READ, SECOND_HAND, Claim, Reported
from keras_wn.study.analysis.claims.small_data import paired_trials
from keras_wn.study.analysis.claims.verdict import Evidence, of_all

# Train top-1 may be this much lower and still count as as good.
MARGIN = 0.01
METHOD = "wn"


def _judge(results):
    evidence = ()
    if METHOD in results.accuracy:
        found = results.accuracy[METHOD]
        against, trials = found.against_baseline, paired_trials(results, found)
        train, test = decide.above(against.train, -MARGIN), decide.below(against.test, 0)
        evidence = (
            Evidence(METHOD, "train top-1 minus bn's", "points", against.train, trials, holds=train, bound="-1 point"),
            Evidence(METHOD, "test top-1 minus bn's", "points", against.test, trials, holds=test),
        )
    return of_all(
        evidence,
        needs="final trials of bn and of wn with the same seeds",
        remark=_remark(results.log.protocol),
        name=lambda piece: piece.quantity.removesuffix(" minus bn's"),
    )


def _remark(protocol):
    if str(protocol.get("dataset")).startswith("imagenet"):
        return "The direction is what is decided; how large the gap is, the evidence says."
    return "The size of the paper's gap, 6 points on ImageNet, is not tested: only its direction, at this scale."


CLAIM = Claim(
    key="C4",
    text="ResNet-50 on ImageNet: weight normalization trains at least as well as batch normalization, and tests about 6 points lower.",
    reported=(
        Reported("Better train accuracy, and a final test accuracy about 6 points lower.", ABSTRACT, READ),
        Reported(
            "Test top-1 of WN about 67.0 %; of BN then about 73 %, by the 6 points.",
            "a curve labelled with the paper in the poster of eladhoffer/norm_matters",
            SECOND_HAND,
        ),
    ),
    suite="accuracy",
    rule="Agrees if wn's train top-1 is decidably not more than 1 point below bn's (this margin is our choice) and its test top-1 "
    "decidably below bn's; disagrees if one of the two is decidably otherwise. Train top-1 is measured in inference mode on images "
    "as they are.",
    judge=_judge,
)
