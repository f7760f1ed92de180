"""C2: the WN algorithms do not slow training steps."""

from keras_wn.study.analysis import methods
from keras_wn.study.analysis.claims import decide
from keras_wn.study.analysis.claims.claim import ABSTRACT, READ, Claim, Reported
from keras_wn.study.analysis.claims.share_of_step import timed_trials
from keras_wn.study.analysis.claims.verdict import Evidence, of_all

RATIO = 1.05


def _judge(results):
    evidence = tuple(
        Evidence(
            cost.method,
            "step time divided by that of none",
            "ratio",
            cost.ratio,
            timed_trials(results, cost),
            holds=decide.below(cost.ratio, RATIO),
            bound=str(RATIO),
            pairs="rounds",
        )
        for method, cost in results.cost.items()
        if method in methods.FAMILY
    )
    return of_all(
        evidence,
        needs="steps of wn, normprop or wn_trelu and of none timed side by side",
        absent=methods.absent(results.cost),
    )


CLAIM = Claim(
    key="C2",
    text="WN, NormProp and WN with TReLU do not slow training steps.",
    reported=(Reported("They do not slow down training iterations.", ABSTRACT, READ),),
    suite="cost",
    rule="Agrees if the step of each takes decidably less than 1.05 times that of the net without normalization, disagrees if one "
    "takes decidably more. The 1.05 is our choice.",
    judge=_judge,
)
