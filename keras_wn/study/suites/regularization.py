"""Claim C5: whether dropout, weight decay or mean-only batch normalization closes the gap to batch normalization."""

import dataclasses

from keras_wn.study.suites import accuracy

NAME = "regularization"
_BASELINE = "bn"


def plan(request, done):
    """A grid of dropout and weight decay, at the learning rate that the search chose; arguments and result as `accuracy.plan`'s."""
    grid = request.protocol.regularization
    specs = []
    for method in dict.fromkeys((_BASELINE, *grid["methods"])):
        specs += accuracy.of_method(request, done, method)
    for method in grid["methods"]:
        _, choice = accuracy.searched(request, done, method)
        if choice is None:
            continue
        specs += [
            request.spec(
                NAME,
                "grid",
                method,
                dataclasses.replace(choice.setting, weight_decay=decay),
                seed,
                dropout=dropout,
                splits=("train", "validation", "test"),
                chosen_from=choice.trial,
                edge=choice.edge,
            )
            for dropout in grid["dropout"]
            for decay in grid["weight_decay"]
            for seed in range(request.seeds)
        ]
    return specs
