"""Finds the largest stable learning rates, and compares them between methods."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable

import pandas as pd

from keras_wn import methods
from keras_wn.study import estimates, forest, search, table
from keras_wn.study.estimates import Estimate
from keras_wn.study.fields import Option
from keras_wn.study.formatting import MISSING, counted, interval
from keras_wn.study.search import Bracket
from keras_wn.study.specs import Done, Planner, Setting, TrialSpec
from keras_wn.study.table import TrialTable
from keras_wn.study.verdicts import CONFIDENCE, FAILS, HOLDS, Comparison
from keras_wn.training.config import BASE_BATCH_SIZE

# Learning rates that differ by less than this factor count as equal, because they are commonly
# searched on grids of factors of 2 and more.
FACTOR = 2.0
# The question whose settings say which limits are searched.
SUITE = "stability"

_STABLE, _TOO_SLOW, _UNSTABLE = "stable", "too slow", "unstable"


def learned_from(classes: int) -> float:
    """The lowest top-1 that counts as learned.

    It is twice that of guessing. With two classes it is halfway from guessing to perfect.

    Example:

    >>> learned_from(classes=10), learned_from(classes=2)
    (0.2, 0.75)
    """
    return min(2 / classes, (1 + 1 / classes) / 2)


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
    options: tuple[Option, ...]
    seed: int
    trials: tuple[TrialSpec, ...]
    bracket: Bracket | None
    is_lost: bool = False

    @property
    def key(self) -> tuple:
        """The condition and the seed."""
        condition = self.method, self.model, self.batch_size, self.warmup_epochs, self.options
        return *condition, self.seed


def limits_of(planner: Planner, done: Done) -> list[Limit]:
    """The searches for limits so far, in the order of the protocol's conditions."""
    asked, found = planner.protocol.of(SUITE), {}
    for condition in asked.conditions:
        names = [m for m in planner.methods if condition.methods is None or m in condition.methods]
        for model, warmup, method, options in itertools.product(
            condition.models, condition.warmup_epochs, names, condition.options
        ):
            guess = None
            for seed in range(asked.seeds):
                limit = _limit(
                    planner, done, condition, method, model, warmup, options, seed, guess
                )
                found[limit.key] = limit
                if asked.side_by_side:
                    continue
                if limit.bracket is None and not limit.is_lost:
                    break
                guess = limit.bracket.octaves if limit.bracket else guess
    return list(found.values())


def _limit(planner, done, condition, method, model, warmup, options, seed, guess):
    lost = []
    key = (method, model, condition.batch_size, warmup, *itertools.chain(*options), seed)
    lowest = planner.protocol.of(SUITE).lowest

    def spec(rate):
        # Decay would hide the effect of the rate.
        setting = Setting(rate, 0.0, warmup / condition.train_epochs)
        return planner.spec(
            SUITE,
            "search",
            method,
            setting,
            seed,
            model=model,
            train_size=condition.train_size,
            batch_size=condition.batch_size,
            train_epochs=condition.train_epochs,
            options=options,
            splits=("train",),
        )

    def outcome(rate):
        record = done.get(spec(rate).id)
        if record is not None and record["status"] == "crashed":
            lost.append(rate)
            return None
        return record and _outcome(record, planner.classes)

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
    batch_size = condition.batch_size
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


@functools.lru_cache(maxsize=4)
def searches(trials: TrialTable) -> pd.DataFrame:
    """The searches for limits, a row for each seed and condition.

    The columns are those of `Limit`, with `octaves`, log2 of the limit, and `trials` as
    identities. Searches that go on are left out.
    """
    tried = table.methods_of(trials.select(suite=SUITE))
    tried = tuple(method for method in tried if method in trials.methods)
    planner = dataclasses.replace(trials.planner, methods=tried)
    rows = [
        {
            **{field.name: getattr(limit, field.name) for field in dataclasses.fields(limit)},
            "trials": tuple(spec.id for spec in limit.trials),
            "octaves": limit.bracket.octaves if limit.bracket else math.nan,
            "is_censored": bool(limit.bracket and limit.bracket.is_censored),
        }
        for limit in limits_of(planner, trials.done)
        if limit.bracket or limit.is_lost
    ]
    columns = [field.name for field in dataclasses.fields(Limit)]
    return pd.DataFrame(rows, columns=[*columns, "octaves", "is_censored"])


def found(trials: TrialTable) -> pd.DataFrame:
    """The limits: the rows of `searches` that have one."""
    return searches(trials)[searches(trials)["bracket"].notna()]


def plain(trials: TrialTable) -> pd.DataFrame:
    """The limits with the start of the card, no warm-up and the smallest batch."""
    limits = found(trials)
    is_plain = (limits["warmup_epochs"] == 0) & limits["options"].map(lambda options: not options)
    return limits[is_plain & (limits["batch_size"] == limits["batch_size"].min())]


def of(limits: pd.DataFrame, model: str, method: str) -> pd.DataFrame:
    """The limits of a method on a network."""
    return limits[(limits["model"] == model) & (limits["method"] == method)]


def compared(
    name: str, own: pd.DataFrame, baseline: pd.DataFrame, quantity: str, seeds: int, **rule: object
) -> Comparison:
    """Compares limits, in octaves by which the baseline's are above the others."""
    by_seed = [frame.set_index("seed")["octaves"] for frame in (baseline, own)]
    difference = table.paired_difference(*by_seed)
    looks = (difference,) if difference is not None and difference.n >= seeds else ()
    censored = int(own["is_censored"].sum() + baseline["is_censored"].sum())
    rule = {
        "above": HOLDS,
        "below": FAILS,
        "trials": tuple(itertools.chain(*own["trials"], *baseline["trials"])),
        "note": f"{counted(censored, 'limit')} beyond the grid" if censored else "",
        "is_bound": censored > 0,
    } | rule
    return Comparison(name, quantity, "octaves", looks, **rule)


def mean(limits: pd.DataFrame) -> Estimate:
    """The mean in octaves, which has no interval if limits lie beyond the grid."""
    estimate = estimates.of_mean(limits["octaves"]).interval(CONFIDENCE)
    return forest.without_interval(estimate) if limits["is_censored"].any() else estimate


def rates(estimate: Estimate, brackets: Iterable[Bracket]) -> str:
    """Writes the mean of limits in octaves as a learning rate.

    It has its interval, or is a bound if limits lie beyond the grid.
    """
    below = any(bracket.stable is None for bracket in brackets)
    above = any(bracket.unstable is None for bracket in brackets)
    if not (below or above):
        return interval(estimate, forest.factor_of_octaves)
    if below and above:
        return MISSING
    return f"{'at most' if below else 'at least'} {forest.factor_of_octaves(estimate.value)}"
