"""Searches for the largest stable learning rates, as far as the trials that are done tell."""

import dataclasses
import itertools
import math
from typing import Any

from keras_wn import methods
from keras_wn.study import search
from keras_wn.study.plan import Done, Request, TrialSpec, as_tuple, learned_from
from keras_wn.study.search import Bracket, Setting
from keras_wn.training.config import BASE_BATCH_SIZE

_STABLE, _TOO_SLOW, _UNSTABLE = "stable", "too slow", "unstable"


@dataclasses.dataclass(frozen=True)
class Limit:
    """The largest stable learning rate of one seed.

    Attributes:
        method, model, batch_size, warmup_epochs, options, seed: The condition.
        trials: Its trials that are known by now.
        bracket: `Bracket`, or None before they are done.
        is_lost: Whether there will be no bracket, because a trial crashed.
    """

    method: str
    model: str
    batch_size: int
    warmup_epochs: float
    options: tuple[tuple[str, Any], ...]
    seed: int
    trials: tuple[TrialSpec, ...]
    bracket: Bracket | None
    is_lost: bool = False

    @property
    def key(self) -> tuple:
        """The condition and the seed."""
        condition = self.method, self.model, self.batch_size, self.warmup_epochs, self.options
        return *condition, self.seed


def limits_of(request: Request, done: Done) -> list[Limit]:
    """The searches of the stability suite, in the order of the protocol's conditions.

    A seed starts where the seed before it ended, which saves half of the trials. With
    `side_by_side`, all seeds search at once instead.
    """
    asked = request.protocol.stability
    found = {}
    for condition in asked["conditions"]:
        chosen = condition["methods"]
        names = [m for m in request.methods if chosen is None or m in chosen]
        for model, warmup, method, options in itertools.product(
            condition["models"],
            condition["warmup_epochs"],
            names,
            map(as_tuple, condition["options"]),
        ):
            guess = None
            for seed in range(asked["seeds"]):
                limit = _limit(
                    request, done, condition, method, model, warmup, options, seed, guess
                )
                found[limit.key] = limit
                if asked.get("side_by_side"):
                    continue
                if limit.bracket is None and not limit.is_lost:
                    break
                guess = limit.bracket.octaves if limit.bracket else guess
    return list(found.values())


def _limit(request, done, condition, method, model, warmup, options, seed, guess):
    batch_size, epochs = condition["batch_size"], condition["train_epochs"]
    lost = []
    key = (method, model, batch_size, warmup, *itertools.chain(*options), seed)
    lowest = request.protocol.stability["lowest"]

    def spec(rate):
        # Decay would hide the effect of the rate.
        setting = Setting(rate, 0.0, warmup / epochs)
        return request.spec(
            "stability",
            "search",
            method,
            setting,
            seed,
            model=model,
            train_size=condition["train_size"],
            batch_size=batch_size,
            train_epochs=epochs,
            options=options,
            splits=("train",),
        )

    def outcome(rate):
        record = done.get(spec(rate).id)
        if record is not None and record["status"] == "crashed":
            lost.append(rate)
            return None
        return record and _outcome(record, request.classes)

    def is_any_of(*outcomes):
        return lambda rate: None if outcome(rate) is None else outcome(rate) in outcomes

    rates, bracket = search.bisect(lowest, key, is_any_of(_STABLE, _TOO_SLOW), guess)
    if bracket and bracket.stable is not None and outcome(bracket.stable) == _TOO_SLOW:
        # No larger rate learned, so that this one was not too small. The limit lies below it.
        learned = max((rate for rate in rates if outcome(rate) == _STABLE), default=0.0)
        is_stable, edge = is_any_of(_STABLE), math.log2(bracket.stable)
        more, bracket = search.bisect(
            lowest, key, lambda rate: rate <= learned or is_stable(rate), edge
        )
        rates = list(dict.fromkeys([*rates, *more]))
    trials = tuple(map(spec, rates))
    return Limit(method, model, batch_size, warmup, options, seed, trials, bracket, bool(lost))


def _outcome(record, classes):
    """Tells whether the rate of a trial is stable, unstable, or too slow.

    A trial that stayed finite and learned nothing at a rate below those that its method is tuned in
    may have been too slow, so that a larger rate learns.
    """
    if record["status"] != "finished":
        return _UNSTABLE
    if record["final"]["train"]["top1"] >= learned_from(classes):
        return _STABLE
    spec = record["spec"]
    lowest, _ = methods.get(spec["method"]).learning_rate_range
    is_below_range = spec["learning_rate"] < lowest * spec["batch_size"] / BASE_BATCH_SIZE
    return _TOO_SLOW if is_below_range else _UNSTABLE
