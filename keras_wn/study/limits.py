"""Searches for the largest stable learning rates, as far as the trials that are done tell."""

import dataclasses
import itertools
from typing import Any

from keras_wn import methods
from keras_wn.study import search
from keras_wn.study.plan import Done, Request, TrialSpec, as_tuple, learned_from
from keras_wn.study.search import Bracket, Setting
from keras_wn.training.config import BASE_BATCH_SIZE


@dataclasses.dataclass(frozen=True)
class Limit:
    """The largest stable learning rate of one seed.

    Attributes:
        method, model, batch_size, warmup_epochs, options, seed: The condition.
        trials: Its trials that are known by now.
        bracket: `Bracket`, or None before they are done.
        is_lost: Whether there will be no bracket, because a trial crashed, or because no rate was
            stable and yet large enough to learn.
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

    def is_below_limit(rate):
        record = done.get(spec(rate).id)
        if record is None:
            return None
        if record["status"] == "crashed":
            lost.append(rate)
            return None
        return is_stable_trial(record, request.classes) or is_too_slow(record)

    key = (method, model, batch_size, warmup, *itertools.chain(*options), seed)
    lowest = request.protocol.stability["lowest"]
    rates, bracket = search.bisect(lowest, key, is_below_limit, guess)
    if bracket and bracket.stable is not None:
        below = done[spec(bracket.stable).id]
        if not is_stable_trial(below, request.classes):
            lost.append(bracket.stable)
            bracket = None
    trials = tuple(map(spec, rates))
    return Limit(method, model, batch_size, warmup, options, seed, trials, bracket, bool(lost))


def is_stable_trial(record: dict[str, Any], classes: int) -> bool:
    """Whether a trial of the stability suite stayed finite and learned its training images."""
    return record["status"] == "finished" and record["final"]["train"]["top1"] >= learned_from(
        classes
    )


def is_too_slow(record: dict[str, Any]) -> bool:
    """Whether a trial that stayed finite had a rate below those that its method is tuned in.

    If it learned nothing, it tells nothing of the rates above it.
    """
    spec = record["spec"]
    lowest, _ = methods.get(spec["method"]).learning_rate_range
    return (
        record["status"] == "finished"
        and spec["learning_rate"] < lowest * spec["batch_size"] / BASE_BATCH_SIZE
    )
