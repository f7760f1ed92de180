"""Claim C6's cause: how the signal travels through a deep net, at the start and as it trains."""

from keras_wn.study.suites import accuracy

NAME = "signal"


def plan(request, done):
    """A deep net of each method, trained at the setting that the search chose; arguments and result as `accuracy.plan`'s."""
    asked = request.protocol.signal
    specs = []
    for method in request.methods:
        searches, choice = accuracy.searched(request, done, method)
        specs += searches
        if choice is None:
            continue
        specs += [
            request.spec(
                NAME,
                "drift",
                method,
                choice.setting,
                seed,
                model=asked["model"],
                train_epochs=asked["train_epochs"],
                signal_epochs=tuple(asked["epochs"]),
                chosen_from=choice.trial,
                edge=choice.edge,
            )
            for seed in range(request.seeds)
        ]
    return specs
