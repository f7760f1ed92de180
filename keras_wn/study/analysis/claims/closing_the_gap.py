"""C5: dropout and weight decay do not bring weight normalization to batch normalization's test accuracy."""

from keras_wn.study.analysis.claims import decide
from keras_wn.study.analysis.claims.claim import ABSTRACT, READ, Claim, Reported
from keras_wn.study.analysis.claims.verdict import UNDECIDED, Evidence, Verdict, of_all

METHOD = "wn"
MEAN_ONLY = "wn_mobn"
_QUANTITY = "test top-1 minus bn's, "


def _judge(results):
    found = results.regularization.methods.get(METHOD)
    gap = found and decide.below(found.before, 0)
    evidence = ()
    if found and found.before and found.after:
        evidence = (
            _evidence(results, METHOD, "as tuned", found.before, found.finals, holds=gap),
            _best(results, METHOD, holds=decide.below(found.after, 0)),
            *([_best(results, MEAN_ONLY, beside=True)] if MEAN_ONLY in results.regularization.methods else []),
        )
    verdict = of_all(
        evidence,
        needs="the grid of wn, and final trials of bn and of wn of suite accuracy with the same seeds",
        remark="To hold is to test below bn.",
        name=lambda piece: f"{piece.method} {piece.quantity.removeprefix(_QUANTITY)}",
    )
    if not evidence or gap:
        return verdict
    few = f"{found.before.n} paired seeds, and {decide.MINIMUM} are needed"
    why = few if found.before.n < decide.MINIMUM else "there is no gap to close at this scale"
    return Verdict(UNDECIDED, evidence, f"wn as tuned does not test decidably below bn: {why}.")


def _best(results, method, **more):
    found = results.regularization.methods[method]
    best = found.best
    words = f"with dropout {best.dropout:g} and weight decay {best.weight_decay:g}" if best else "with a dropout"
    return _evidence(results, method, words, found.after, best.trials if best else (), **more)


def _evidence(results, method, words, estimate, trials, **more):
    ids = tuple(trial.id for trial in (*trials, *results.regularization.baseline))
    return Evidence(method, f"{_QUANTITY}{words}", "points", estimate, ids, **more)


CLAIM = Claim(
    key="C5",
    text="Dropout and weight decay do not close weight normalization's gap in test accuracy to batch normalization.",
    reported=(Reported("Dropout and weight decay did not compensate for BN's regularization.", ABSTRACT, READ),),
    suite="regularization",
    rule="Decidable only if wn as tuned tests decidably below bn: else there is no gap to close. Then agrees if wn with the dropout "
    "and weight decay that are best on validation still tests decidably below bn, and disagrees if it tests decidably above.",
    judge=_judge,
)
