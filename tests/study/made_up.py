"""Makes up results of trials, for tests of planning and collecting without training."""

import json

from keras_wn.study.plan import empty_record
from keras_wn.study.protocol import for_budget

TINY = for_budget("tiny")


def result(spec, top1=0.5, status="finished"):
    """A trial's record, as it is read from a log."""
    figures = {"loss": 1.0 - top1 if status == "finished" else None, "top1": top1, "top5": 1.0}
    record = {
        **empty_record(spec),
        "status": status,
        "final": {name: figures for name in spec.splits},
    }
    return json.loads(json.dumps(record))


def all_done(plan, request, top1=lambda spec: 0.5):
    """Plans until nothing is left, every trial ending with `top1(spec)`.

    Returns:
        Dict from identity to record, in the order of the plan.
    """
    done = {}
    while True:
        new = [spec for spec in plan(request, done) if spec.id not in done]
        if not new:
            return done
        done.update({spec.id: result(spec, top1(spec)) for spec in new})
