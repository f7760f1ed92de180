"""C6: deep nets train less stably with the WN algorithms."""

from keras_wn.study.analysis import estimates, methods
from keras_wn.study.analysis.claims import decide
from keras_wn.study.analysis.claims.claim import ABSTRACT, READ, Claim, Reported
from keras_wn.study.analysis.claims.verdict import Evidence, of_all


def _judge(results):
    swept = results.stability
    deepest = swept.models[-1] if swept.models else None
    baseline = swept.sweeps.get((deepest, methods.BASELINE))
    at_deepest = [swept.sweeps[deepest, m] for m in methods.FAMILY if (deepest, m) in swept.sweeps]
    evidence = tuple(_less_than_baseline(baseline, sweep) for sweep in at_deepest) if baseline else ()
    return of_all(
        (*evidence, *_drops(swept)),
        needs="sweeps of bn and of wn, normprop or wn_trelu on the same deepest network",
        absent=methods.absent([sweep.method for sweep in at_deepest]),
        remark=_censored([baseline, *at_deepest] if baseline else [])
        + "A learning rate is another step size for normalized weights: the rates are compared as they are set.",
    )


def _less_than_baseline(baseline, sweep):
    estimate = estimates.paired(_decades(baseline), _decades(sweep))
    ids = tuple(trial.id for trial in (*sweep.trials, *baseline.trials))
    quantity = f"largest stable learning rate of bn divided by its own, on {sweep.model}"
    return Evidence(sweep.method, quantity, "decades", estimate, ids, holds=decide.above(estimate, 0))


def _drops(swept):
    if len(swept.models) < 2:
        return
    shallow, deep = swept.models[0], swept.models[-1]
    for method in (methods.BASELINE, *methods.FAMILY):
        ends = [swept.sweeps.get((model, method)) for model in (shallow, deep)]
        estimate = estimates.paired(*map(_decades, ends)) if all(ends) else None
        if estimate:
            ids = tuple(trial.id for sweep in ends for trial in sweep.trials)
            quantity = f"largest stable learning rate on {shallow} divided by that on {deep}"
            yield Evidence(method, quantity, "decades", estimate, ids, beside=True)


def _decades(sweep):
    return {seed: limit.decades for seed, limit in sweep.limits.items()}


def _censored(sweeps):
    limits = [limit for sweep in sweeps for limit in sweep.limits.values()]
    hidden = sum(limit.censored is not None for limit in limits)
    return f"{hidden} of {len(limits)} limits lie at an end of the grid, and may be further out. " if hidden else ""


CLAIM = Claim(
    key="C6",
    text="Deep nets train less stably with WN, NormProp and WN with TReLU than with batch normalization.",
    reported=(Reported("Training of deep networks is significantly less stable than with BN.", ABSTRACT, READ),),
    suite="stability",
    rule="Agrees if the largest stable learning rate on the deepest network, paired by seed, is decidably smaller than bn's for each, "
    "disagrees if decidably larger for one.",
    judge=_judge,
)
