"""Claims C1 and C2: how long a step takes."""

from keras_wn.study.search import Setting

NAME = "cost"
# A step takes as long at any rate that keeps the weights finite.
_SETTING = Setting(learning_rate=1e-4, weight_decay=1e-4, warmup_share=0.0)
_BASELINE = "none"


def plan(request, done):
    """One trial a method, of which all are timed in turns, with nothing beside them; arguments and result as `accuracy.plan`'s."""
    del done  # Nothing is chosen.
    methods = tuple(dict.fromkeys((_BASELINE, *request.methods)))
    options = {
        "model": request.protocol.cost["model"],
        "train_epochs": 1,
        "splits": (),
        "beside": methods,
    }
    return [request.spec(NAME, "step", method, _SETTING, seed=0, **options) for method in methods]
