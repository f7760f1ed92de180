"""Plans the trials of each suite, as far as the trials that are done tell.

A suite is a function of a `Request` and of the trials that are done. It returns the specifications
of all its trials that are known by now. Each search is the same for every method, and a setting
that is chosen depends on the validation split alone.
"""

import dataclasses
import itertools
import statistics
from collections.abc import Callable, Sequence

import numpy as np

from keras_wn import methods
from keras_wn.study import search
from keras_wn.study.limits import limits_of
from keras_wn.study.plan import BASELINE, SPLITS, UNNORMALIZED, Done, Request, TrialSpec, as_tuple
from keras_wn.study.search import Choice, Scored, Setting
from keras_wn.training.config import BASE_BATCH_SIZE

# A rate that keeps the weights finite while steps are timed.
_COST_SETTING = Setting(learning_rate=1e-4, weight_decay=1e-4, warmup_share=0.0)


def accuracy(request: Request, done: Done) -> list[TrialSpec]:
    """Claims C3 and C4: each method at its best setting, on training images and on new ones.

    Returns:
        The trials of the search and, for methods whose search is done, the final trials.
    """
    return [spec for method in request.methods for spec in _accuracy_of(method, request, done)]


def _accuracy_of(method, request, done):
    specs, choice = search_of(method, request, done)
    if choice is None:
        return specs
    protocol = request.protocol
    # Evenly spaced epochs, of which the last is the end.
    points = np.linspace(0, protocol.train_epochs, protocol.curve_points + 1).round().astype(int)
    return specs + [
        request.chosen(
            "accuracy",
            "final",
            method,
            choice,
            seed,
            splits=SPLITS,
            keeps_correct=True,
            curve_epochs=tuple(sorted(set(points[1:].tolist()))),
        )
        for seed in range(protocol.seeds)
    ]


def search_of(method: str, request: Request, done: Done) -> tuple[list[TrialSpec], Choice | None]:
    """The trials of a method's search so far, and its choice, None before they are done.

    All settings are tried, then more beyond the edges of the best one. If the protocol has `rungs`,
    that is done with the epochs of the lowest rung. The best settings go on to the next rung, where
    fewer of them are trained anew for more epochs.

    Reference: successive halving, Jamieson & Talwalkar 2016, AISTATS, arXiv 1502.07943.
    """
    tuning, batch_size = request.protocol.tuning, request.protocol.batch_size
    seeds = range(search.SEED, search.SEED + tuning["seeds"])
    low, high = methods.get(method).learning_rate_range
    ranges = {
        "learning_rate": tuple(rate * batch_size / BASE_BATCH_SIZE for rate in (low, high)),
        "weight_decay": tuple(tuning["weight_decay"]),
        "warmup_share": tuple(tuning["warmup_share"]),
    }
    specs = []

    def tried(setting, number, epochs):
        own = [
            request.spec("accuracy", "tune", method, setting, seed, epochs, number=number)
            for seed in seeds
        ]
        specs.extend(own)
        return _scored(setting, own, request.classes, done)

    (epochs, _), *rungs = tuning.get("rungs", [(request.protocol.train_epochs, None)])
    scored = []
    for count in (tuning["settings"], tuning["extension"]):
        for setting in search.settings(ranges, len(scored), count):
            scored.append(tried(setting, len(scored), epochs))
        if None in scored:
            return specs, None
        ranges = search.extended(ranges, scored)
    best = list(enumerate(scored))
    for epochs, count in rungs:
        best = sorted(best, key=lambda pair: search.rank(pair[1]))[:count]
        best = [(number, tried(old.setting, number, epochs)) for number, old in best]
        if any(new is None for _, new in best):
            return specs, None
    return specs, search.choose([new for _, new in best], scored)


def _scored(setting, specs, classes, done):
    if any(spec.id not in done for spec in specs):
        return None
    top1, loss = zip(*(_validation(done[spec.id], classes) for spec in specs), strict=True)
    ids = tuple(spec.id for spec in specs)
    return Scored(setting, statistics.fmean(top1), statistics.fmean(loss), ids)


def _validation(record, classes):
    """Validation top-1 and loss of a trial, with guessing for one that did not finish."""
    if record["status"] != "finished":
        return 1 / classes, float("inf")
    figures = record["final"]["validation"]
    return figures["top1"], figures["loss"]


def regularization(request: Request, done: Done) -> list[TrialSpec]:
    """Claim C5: regularizers of weight normalization, and the noise of batch normalization.

    A cell changes the tuned setting. Each method's cell is chosen by the validation split, on seeds
    of the search, and scored on the final seeds. The baseline gets the same cells. It is also
    trained with the statistics of smaller and larger batches, whose noise is larger and smaller.
    """
    protocol, specs = request.protocol, []
    asked = protocol.regularization
    for method in dict.fromkeys((BASELINE, *asked["methods"])):
        specs += _accuracy_of(method, request, done)
        _, choice = search_of(method, request, done)
        if choice is None:
            continue
        tried, chosen = _cells(method, choice, request, done)
        specs += tried
        for stage, cell in chosen.items():
            specs += [
                _with_cell(
                    request,
                    stage,
                    method,
                    choice,
                    seed,
                    cell,
                    splits=SPLITS,
                    keeps_correct=True,
                )
                for seed in range(protocol.seeds)
            ]
        if method == BASELINE:
            specs += [
                request.chosen(
                    "regularization",
                    "statistics",
                    method,
                    choice,
                    seed,
                    options=(("statistics_batch", size),),
                    splits=("train", "test"),
                )
                for size in asked["statistics_batches"]
                for seed in range(asked["statistics_seeds"])
            ]
    return specs


def _cells(method, choice, request, done):
    """The trials that choose a cell so far, and, when they are done, the chosen cells by stage.

    After all cells, the best ones of the two best kinds are tried together. If the best cell has
    more than the dropout and weight decay of the claim, the best one of these two is chosen, too.
    """
    asked = request.protocol.regularization
    seeds = range(search.SEED, search.SEED + asked["seeds"])
    # Trials without a regularizer tell what each cell changes.
    specs = [_with_cell(request, "plain", method, choice, seed, ()) for seed in seeds]
    scores = {}

    def tried(cell, stage):
        own = [_with_cell(request, stage, method, choice, seed, cell) for seed in seeds]
        specs.extend(own)
        scores[cell] = _scored(choice.setting, own, request.classes, done)

    for cell in map(as_tuple, asked["cells"]):
        tried(cell, "grid")
    if None in scores.values():
        return specs, {}
    ranked = sorted(scores, key=lambda cell: (-scores[cell].top1, scores[cell].loss))
    best_of_kind = {}
    for cell in ranked:
        best_of_kind.setdefault(cell[0][0], cell)
    first, second, *_ = [*best_of_kind.values(), None]
    if second is not None:
        tried((*first, *second), "combined")
        if None in scores.values():
            return specs, {}
    ranked = sorted(scores, key=lambda cell: (-scores[cell].top1, scores[cell].loss))
    chosen = {"scored": ranked[0]}
    of_claim = [cell for cell in ranked if set(dict(cell)) <= _OF_CLAIM]
    if method != BASELINE and of_claim and of_claim[0] != ranked[0]:
        chosen["scored_alone"] = of_claim[0]
    return specs, chosen


# The settings that cells of dropout and weight decay have.
_OF_CLAIM = {"dropout", "weight_decay", "decay_on"}


def _with_cell(request, stage, method, choice, seed, cell, **more):
    changes = dict(cell)
    setting = dataclasses.replace(
        choice.setting, weight_decay=changes.pop("weight_decay", choice.setting.weight_decay)
    )
    return request.chosen(
        "regularization",
        stage,
        method,
        dataclasses.replace(choice, setting=setting),
        seed,
        options=tuple(changes.items()),
        **more,
    )


def stability(request: Request, done: Done) -> list[TrialSpec]:
    """Claim C6: the largest stable learning rate of every seed, by bisection."""
    limits = limits_of(request, done)
    return list({spec.id: spec for limit in limits for spec in limit.trials}.values())


def work(request: Request, done: Done) -> list[TrialSpec]:
    """Plans how the gap to the baseline grows with training images and with depth.

    The methods are those of the protocol, and the method without batch statistics whose search
    found the best validation top-1. The learning rate is tuned again at each point.
    """
    asked, specs = request.protocol.work, []
    names = [m for m in asked["methods"] if m in request.methods]
    choices = {}
    for method in request.methods:
        searched, choices[method] = search_of(method, request, done)
        specs += searched
    if None in choices.values():
        return specs
    if best := best_batch_free(choices):
        names.append(best)
    for method, (size, model, epochs) in itertools.product(dict.fromkeys(names), asked["points"]):
        specs += _work_at(request, done, method, choices[method], size, model, epochs)
    return specs


def best_batch_free(choices: dict[str, Choice]) -> str | None:
    """The method without batch statistics with the best validation top-1, or None if none is."""
    free = [m for m in choices if not methods.get(m).batch_statistics]
    return max(free, key=lambda m: choices[m].top1, default=None)


def _work_at(request, done, method, choice, size, model, epochs):
    asked = request.protocol.work
    shared = {"train_size": size, "model": model, "train_epochs": epochs}
    scored, specs = [], []
    for factor in asked["factors"]:
        rate = float(f"{choice.setting.learning_rate * factor:.4g}")
        setting = dataclasses.replace(choice.setting, learning_rate=rate)
        tried = dataclasses.replace(choice, setting=setting)
        spec = request.chosen("work", "tune", method, tried, search.SEED, **shared)
        specs.append(spec)
        scored.append(_scored(setting, [spec], request.classes, done))
    if None in scored:
        return specs
    best = search.choose(scored)
    return specs + [
        request.chosen("work", "final", method, best, seed, splits=("train", "test"), **shared)
        for seed in range(asked["seeds"])
    ]


def signal(request: Request, done: Done) -> list[TrialSpec]:
    """Claim C6's cause: the signal through a deep network, at the start and as it trains."""
    asked = request.protocol.signal
    specs = []
    for method in request.methods:
        searched, choice = search_of(method, request, done)
        specs += searched
        if choice is None:
            continue
        specs += [
            request.chosen(
                "signal",
                "drift",
                method,
                choice,
                seed,
                model=asked["model"],
                train_epochs=asked["train_epochs"],
                signal_epochs=tuple(asked["epochs"]),
            )
            for seed in range(asked["seeds"])
        ]
    return specs


def cost(request: Request, done: Done) -> list[TrialSpec]:
    """Claims C1 and C2: a trial of each method, all timed in turns with nothing beside them."""
    del done  # Nothing is chosen.
    compared = tuple(dict.fromkeys((UNNORMALIZED, *request.methods)))
    asked = request.protocol.cost
    return [
        request.spec(
            "cost",
            "step",
            method,
            _COST_SETTING,
            seed=0,
            train_epochs=1,
            train_size=None,
            model=asked["model"],
            batch_size=batch_size,
            splits=(),
            beside=compared,
        )
        for batch_size in asked["batch_sizes"]
        for method in compared
    ]


SUITES: dict[str, Callable[[Request, Done], Sequence[TrialSpec]]] = {
    "accuracy": accuracy,
    "stability": stability,
    "regularization": regularization,
    "work": work,
    "signal": signal,
    "cost": cost,
}
