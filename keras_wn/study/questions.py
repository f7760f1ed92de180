"""Asks the questions of the claims: differences between methods, taken from the trials."""

from collections.abc import Callable

import pandas as pd

from keras_wn.study import estimates, table
from keras_wn.study.estimates import Estimate
from keras_wn.study.formatting import counted
from keras_wn.study.plan import BASELINE, UNNORMALIZED
from keras_wn.study.table import TrialTable
from keras_wn.study.verdicts import CONFIDENCE, FAILS, HOLDS, Question


def step_seconds(
    trials: TrialTable, method: str, batch_size: int
) -> tuple[pd.Series | None, pd.Series | None]:
    """Seconds of a step by round of a method, and of none in the same rounds.

    Either is None if it was not timed.
    """
    timed = {"suite": "cost", "batch_size": batch_size, "status": "finished"}
    own = trials.select(method=method, **timed)
    if not len(own):
        return None, None
    last = own.iloc[-1]
    # A study that was given more methods later has timed the method `none` with each group.
    plain = trials.select(method=UNNORMALIZED, beside=last["beside"], **timed)
    return (
        pd.Series(last["step_seconds"]),
        pd.Series(plain["step_seconds"].iloc[-1]) if len(plain) else None,
    )


def cost_question(
    trials: TrialTable,
    batch_size: int,
    method: str,
    quantity: str,
    unit: str,
    ratio: Callable[[pd.Series, pd.Series], pd.Series],
    **rule: object,
) -> Question:
    """A question on the seconds of a step by round, and on those of none in the same rounds."""
    own, plain = step_seconds(trials, method, batch_size)
    found = None if own is None or plain is None else estimates.of_mean(ratio(own, plain))
    timed = [trials.select(suite="cost", method=m) for m in (method, UNNORMALIZED)]
    name = f"{method}, batch of {batch_size}"
    return Question(name, quantity, unit, (found,), pairs="rounds", trials=_ids(*timed), **rule)


def accuracy_question(
    trials: TrialTable,
    name: str,
    first: pd.DataFrame,
    second: pd.DataFrame,
    quantity: str = "test top-1 minus bn's",
    split: str = "test",
    **rule: object,
) -> Question:
    """A question on a difference in top-1, in points, at the looks that both sides reached.

    Args:
        trials: `TrialTable`.
        name: Name of the question.
        first, second: Trials of two methods.
        quantity, split, **rule: As `Question`'s, and the split that is compared.
    """
    ran = [set(frame["seed"]) for frame in (first, second)]
    looks = tuple(
        trials.difference(first, second, split, count)
        for count in trials.protocol.looks
        if all(set(range(count)) <= seeds for seeds in ran)
    )
    diverged = [f"{n} of {len(f)}" for f in (first, second) if (n := _diverged(f))]
    notes = [f"diverged: {' and '.join(diverged)}"] if diverged else []
    if first["exploratory"].any():
        notes.append("exploratory")
    rule = {
        "above": HOLDS,
        "below": FAILS,
        "trials": _ids(first, second),
        "note": "; ".join(notes),
    } | rule
    return Question(name, quantity, "points", looks, **rule)


def scored_trials(trials: TrialTable, method: str, stage: str = "scored") -> pd.DataFrame:
    """The trials that score a method with the regularizers that were chosen for it.

    Those of the stage `scored_alone` have the best dropout or weight decay, if others are better.
    """
    return trials.select(suite="regularization", stage=stage, method=method)


def cell_in_words(trials: pd.DataFrame) -> str:
    """The regularizers of some trials, for example `dropout 0.5`.

    Weight decay is named if it is part of the cell, which it is with `decay_on`.
    """
    if not len(trials):
        return "regularizers"
    first = trials.iloc[0]
    options = dict(first["options"])
    words = []
    if decay_on := options.pop("decay_on", None):
        target = {"v": "v", "v_and_g": "v and g"}[decay_on]
        words.append(f"weight decay {first['weight_decay']:g} on {target}")
    words += [f"{name.replace('_', ' ')} {value:g}" for name, value in options.items()]
    return " and ".join(words)


def share_closed(trials: TrialTable) -> Estimate | None:
    """The share of wn's gap to bn in test top-1 that regularization closes."""
    frames = (scored_trials(trials, "wn"), trials.finals("wn"), trials.finals(BASELINE))
    scored, wn, bn = (table.finished(frame)["test"] for frame in frames)
    closed, gap = (scored - wn).dropna(), (bn - wn).dropna()
    common = closed.index.intersection(gap.index)
    if len(common) < 2:
        return None
    return estimates.share_of(closed[common], gap[common], CONFIDENCE)


def plain_limits(trials: TrialTable) -> pd.DataFrame:
    """The limits with the start of the card, no warm-up and the smallest batch."""
    limits = trials.limits
    plain = (limits["warmup_epochs"] == 0) & limits["options"].map(lambda options: not options)
    return limits[plain & (limits["batch_size"] == limits["batch_size"].min())]


def limits_on(limits: pd.DataFrame, model: str, method: str) -> pd.DataFrame:
    """The limits of a method on a network."""
    return limits[(limits["model"] == model) & (limits["method"] == method)]


def limit_question(
    name: str, own: pd.DataFrame, baseline: pd.DataFrame, quantity: str, seeds: int, **rule: object
) -> Question:
    """A question on octaves by which a limit of the baseline is above another limit."""
    by_seed = [frame.set_index("seed")["octaves"] for frame in (baseline, own)]
    found = table.paired_difference(*by_seed)
    looks = (found,) if found is not None and found.n >= seeds else ()
    censored = int(own["is_censored"].sum() + baseline["is_censored"].sum())
    ids = tuple(trial for frame in (own, baseline) for ids in frame["trials"] for trial in ids)
    note = f"{counted(censored, 'limit')} beyond the grid" if censored else ""
    rule = {
        "above": HOLDS,
        "below": FAILS,
        "trials": ids,
        "note": note,
        "is_bound": censored > 0,
    } | rule
    return Question(name, quantity, "octaves", looks, **rule)


def _diverged(trials):
    return int((trials["status"] == "diverged").sum())


def _ids(*frames: pd.DataFrame):
    return tuple(trial for frame in frames for trial in frame["id"])
