"""Holds the trials of a log in one pandas frame, a row a trial."""

import base64
import dataclasses
import functools
import json
import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from keras_wn import methods as cards
from keras_wn.study import estimates, search
from keras_wn.study.estimates import Difference
from keras_wn.study.protocol import Protocol
from keras_wn.study.specs import SPLITS, STATUSES, Choice, Done, Planner, TrialSpec

SECONDS = ("training", "evaluation", "building")

_SPEC_FIELDS = tuple(field.name for field in dataclasses.fields(TrialSpec))
_COLUMNS = (
    *("id", "process", *_SPEC_FIELDS, "status", "error", "epochs", "exploratory"),
    *SPLITS,
    *(f"{split}_loss" for split in SPLITS),
    *("correct", "effective_rate", "curves", "signal", "step_seconds"),
    *(f"{part}_seconds" for part in SECONDS),
)


@dataclasses.dataclass(frozen=True, eq=False)
class TrialTable:
    """The content of trials.jsonl.

    Attributes:
        record: The record of the protocol.
        planner: `Planner` of the protocol, and of the methods that have trials.
        done: The records of the trials, by identity.
        processes: The processes that ran the trials, in the order of their start.
        frame: The trials, a row each, in an order that does not depend on the order of the lines.
            A row has the trial's `id`, the fields of its specification, its `status`, and its final
            top-1 from 0 to 1 as `train`, `validation` and `test`, NaN where there is none.
            `exploratory` tells whether the plan lacks its method or its suite.
        benchmarks: Records of the bytes of a step on a TPU, one a title.
        withdrawn: Records that withdraw trials.
    """

    record: dict
    planner: Planner
    done: Done
    processes: tuple[dict, ...]
    frame: pd.DataFrame
    benchmarks: tuple[dict, ...] = ()
    withdrawn: tuple[dict, ...] = ()

    @property
    def protocol(self) -> Protocol:
        """The conditions that all trials share."""
        return self.planner.protocol

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that have trials."""
        return self.planner.methods

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.planner.classes

    def select(self, **values: object) -> pd.DataFrame:
        """The trials with these values, for example `select(suite="cost", method="wn")`."""
        frame = self.frame
        for column, value in values.items():
            # A tuple is a value of its own, which pandas would take for a list of values.
            is_equal = frame[column].map(lambda x, value=value: x == value).astype(bool)
            frame = frame[is_equal]
        return frame

    def finals(self, method: str) -> pd.DataFrame:
        """A method's final trials of the accuracy suite."""
        return self.select(suite="accuracy", stage="final", method=method)

    def difference(
        self,
        first: pd.DataFrame,
        second: pd.DataFrame,
        split: str = "test",
        seeds: int | None = None,
    ) -> Difference | None:
        """The mean of `first - second` in top-1, in points, over the seeds for which both finished.

        Where the trials tell which test images are classified correctly, the noise of the test
        images is in the error.

        Args:
            first, second: Trials of two methods.
            split: Name.
            seeds: The seeds below this number are taken. None for all.

        Returns:
            `Difference`, or None without a pair.
        """
        first, second = finished(first), finished(second)
        common = first.index.intersection(second.index)
        common = [seed for seed in common if seeds is None or seed < seeds]
        first, second = first.loc[common], second.loc[common]
        if not len(first) or first[split].isna().any() or second[split].isna().any():
            return None
        if (
            split == "test"
            and first["correct"].map(bool).all()
            and second["correct"].map(bool).all()
        ):
            found = estimates.crossed(self._correct(first), self._correct(second))
        else:
            found = estimates.paired(first[split], second[split])
        scaled = {name: 100 * getattr(found, name) for name in ("value", "error", "fixed")}
        return dataclasses.replace(found, **scaled)

    def _correct(self, trials):
        bits = [np.frombuffer(base64.b64decode(text), "uint8") for text in trials["correct"]]
        return np.unpackbits(np.stack(bits), axis=1, count=self.record["images"]["test"])

    @functools.cached_property
    def choices(self) -> dict[str, Choice]:
        """The setting that was chosen for each method whose search is done."""
        found = {m: search.search_of(m, self.planner, self.done)[1] for m in self.methods}
        return {method: choice for method, choice in found.items() if choice is not None}


def methods_of(trials: pd.DataFrame) -> tuple[str, ...]:
    """The names of the methods of these trials, in the order of tables and figures."""
    return tuple(sorted(set(trials["method"]), key=method_place))


def method_place(name: str) -> tuple[int, str]:
    """Key that sorts methods: those of the paper, the other cards, then unknown ones by alphabet.

    Example:

    >>> sorted(["wn_mobn", "wn", "a_new_one", "bn"], key=method_place)
    ['bn', 'wn', 'wn_mobn', 'a_new_one']
    """
    names = [*cards.PAPER, *(name for name in cards.names() if name not in cards.PAPER)]
    return names.index(name) if name in names else len(names), name


def finished(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials that finished, with the seeds as the index."""
    found = trials[trials["status"] == "finished"]
    return found.drop_duplicates("seed", keep="last").set_index("seed").sort_index()


def depth(model: str) -> tuple[int, str]:
    """Key that sorts networks by the last number in their name, which is their depth.

    Example:

    >>> sorted(["cifar_resnet20", "cifar_resnet8"], key=depth)
    ['cifar_resnet8', 'cifar_resnet20']
    """
    numbers = re.findall(r"\d+", model)
    return (int(numbers[-1]) if numbers else 0, model)


def paired_difference(first: pd.Series, second: pd.Series) -> Difference | None:
    """The mean of `first - second` over the index values that both have, or None without a pair.

    Example:

    >>> paired_difference(pd.Series({0: 3.0, 1: 5.0, 2: 9.0}), pd.Series({1: 4.0, 0: 2.0})).value
    1.0
    """
    values = (first - second).dropna()
    return estimates.of_mean(values) if len(values) else None


def count_by_status(trials: pd.DataFrame) -> dict[str, int]:
    """The number of trials that finished, diverged and crashed."""
    counts = trials["status"].value_counts()
    return {status: int(counts.get(status, 0)) for status in STATUSES}


def unfinished(trials: pd.DataFrame) -> str:
    """The trials that did not finish, for example `2 of 5 diverged`; empty if all of them did."""
    counts = count_by_status(trials)
    return ", ".join(
        f"{count} of {len(trials)} {status}"
        for status, count in counts.items()
        if count and status != "finished"
    )


def frame(records: Iterable[dict], planned: Mapping) -> pd.DataFrame:
    """The frame of the records of trials, given what the protocol planned."""
    rows = [_row(record, planned) for record in sorted(records, key=_sorting_key)]
    found = pd.DataFrame(rows, columns=list(_COLUMNS))
    numbers = [*SPLITS, *(f"{split}_loss" for split in SPLITS)]
    numbers += [f"{part}_seconds" for part in SECONDS]
    found[numbers] = found[numbers].astype(float)
    return found


def _sorting_key(record):
    spec = record["spec"]
    place = tuple(str(spec[key]) for key in ("suite", "stage", "model", "method"))
    return (
        *place,
        spec["number"] or 0,
        float(spec["learning_rate"]),
        spec["seed"],
        json.dumps(spec, sort_keys=True),
    )


def _as_tuple(value):
    """A value with tuples for its lists, which JSON made of them."""
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _row(record, planned):
    spec, final = {name: _as_tuple(record["spec"][name]) for name in _SPEC_FIELDS}, record["final"]
    is_planned = spec["method"] in planned["methods"] and spec["suite"] in planned["suites"]
    return {
        **spec,
        **{split: (final.get(split) or {}).get("top1") for split in SPLITS},
        **{f"{split}_loss": (final.get(split) or {}).get("loss") for split in SPLITS},
        **{f"{part}_seconds": record["seconds"].get(part, 0.0) for part in SECONDS},
        **{
            key: record[key]
            for key in ("id", "status", "epochs", "curves", "signal", "step_seconds")
        },
        "correct": record["correct"] or "",
        "effective_rate": record.get("effective_rate"),
        "process": str(record.get("process") or ""),
        "error": record["error"] or "",
        "exploratory": not is_planned,
    }
