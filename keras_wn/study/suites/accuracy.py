"""Claims C3 and C4: accuracy in training and on new images, each method with its own best setting."""

import numpy as np

from keras_wn.study import search

NAME = "accuracy"
_ALL = ("train", "validation", "test")


def plan(request, done):
    """Trials of the search and, for methods whose search is through, the final ones.

    Args:
        request: `Request`.
        done: Dict from identity to record of the trials that are done.

    Returns:
        List of `TrialSpec`.
    """
    return [spec for method in request.methods for spec in of_method(request, done, method)]


def of_method(request, done, method):
    """The trials of one method: see `plan`."""
    specs, choice = searched(request, done, method)
    if choice is None:
        return specs
    protocol = request.protocol
    # Measured at evenly spaced epochs, of which the last is the end.
    points = (
        np.linspace(0, protocol.train_epochs, protocol.curve_points + 1).round().astype(int)[1:]
    )
    finals = [
        request.spec(
            NAME,
            "final",
            method,
            choice.setting,
            seed,
            splits=_ALL,
            curve_epochs=tuple(sorted(set(points.tolist()))),
            chosen_from=choice.trial,
            edge=choice.edge,
        )
        for seed in range(request.seeds)
    ]
    return specs + finals


def searched(request, done, method):
    """The trials of a method's search so far, and its `Choice`, None before they are done."""
    tuning = request.protocol.tuning
    specs, rates = [], None
    for number in range(tuning["rounds"] + 1):
        count = tuning["extension"] if number else tuning["trials"]
        points = search.settings(tuning, len(specs), count, rates)
        specs += [
            request.spec(
                NAME,
                "tune",
                method,
                point,
                search.SEED,
                number=len(specs) + i,
                round=number,
                splits=("validation",),
            )
            for i, point in enumerate(points)
        ]
        records = [done.get(spec.id) for spec in specs]
        if None in records:
            return specs, None
        rates = search.extended(tuning, records)
    return specs, search.choose(records, request.protocol.train_epochs)
