"""C1: batch normalization takes much of the training time."""

from keras_wn.study.analysis import methods
from keras_wn.study.analysis.claims import decide
from keras_wn.study.analysis.claims.claim import ABSTRACT, NOTES, READ, SECOND_HAND, Claim, Reported
from keras_wn.study.analysis.claims.verdict import Evidence, of_all

SHARE = 0.10


def _judge(results):
    evidence = tuple(
        Evidence(
            cost.method,
            "share of the step's time in normalization",
            "share",
            cost.share,
            timed_trials(results, cost),
            holds=decide.above(cost.share, SHARE),
            bound="10 %",
            pairs="rounds",
        )
        for method, cost in results.cost.items()
        if method == methods.BASELINE
    )
    return of_all(
        evidence,
        needs="steps of bn and of none timed side by side",
        remark="The share on this machine is tested, and not its cause, which the paper sees in the memory's bandwidth.",
    )


def timed_trials(results, cost):
    """Ids of the trials that a method's ratio to the net without normalization comes from."""
    plain = results.cost.get(methods.UNNORMALIZED)
    return tuple(trial.id for trial in (*cost.trials, *(plain.trials if plain else ())))


CLAIM = Claim(
    key="C1",
    text="Batch normalization takes a significant share of the training time, bound by the memory's bandwidth.",
    reported=(
        Reported("A significant fraction of the run time; bound by memory bandwidth.", ABSTRACT, READ),
        Reported("24 % of ResNet's compute on a Pascal GPU, where convolutions take 60 %.", NOTES, SECOND_HAND),
    ),
    suite="cost",
    rule="Agrees if the share of a bn step that a step without normalization does not take is decidably above 10 %, disagrees if "
    "decidably below. That 10 % is significant is our choice.",
    judge=_judge,
)
