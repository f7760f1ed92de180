"""C3: the WN algorithms test better than batch normalization on little data."""

from keras_wn.study.analysis import methods
from keras_wn.study.analysis.claims import decide
from keras_wn.study.analysis.claims.claim import ABSTRACT, NOTES, READ, SECOND_HAND, Claim, Reported
from keras_wn.study.analysis.claims.verdict import Evidence, of_all


def _judge(results):
    evidence = tuple(
        Evidence(
            found.method,
            "test top-1 minus bn's",
            "points",
            found.against_baseline.test,
            paired_trials(results, found),
            holds=decide.above(found.against_baseline.test, 0),
        )
        for method, found in results.accuracy.items()
        if method in methods.FAMILY
    )
    needs = "final trials of bn and of wn, normprop or wn_trelu with the same seeds"
    return of_all(evidence, needs=needs, absent=methods.absent(results.accuracy))


def paired_trials(results, found):
    """Ids of the final trials that a method's comparison with the baseline comes from."""
    baseline = results.accuracy.get(methods.BASELINE)
    return tuple(trial.id for trial in (*found.finals, *(baseline.finals if baseline else ())))


CLAIM = Claim(
    key="C3",
    text="On small networks and data sets, WN, NormProp and WN with TReLU test better than batch normalization.",
    reported=(
        Reported(
            "They outperform BN on relatively small networks and data sets, by others' experiments.", ABSTRACT, READ
        ),
        Reported("On CIFAR-10 with a shallow net, the best of them tests 1 to 2 points above BN.", NOTES, SECOND_HAND),
    ),
    suite="accuracy",
    rule="Agrees if test top-1 minus bn's, paired by seed, is decidably above 0 for each, disagrees if decidably below for one.",
    judge=_judge,
)
