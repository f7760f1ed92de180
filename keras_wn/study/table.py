"""Reads the records of trials.jsonl into one pandas frame, a row a trial."""

import dataclasses
import json
from collections.abc import Iterable

import pandas as pd

from keras_wn.study import statistics
from keras_wn.study.plan import SPLITS
from keras_wn.study.statistics import Estimate

# The method that all others are compared with, and the one that steps are timed against.
BASELINE = "bn"
UNNORMALIZED = "none"
# The paper's "WN algorithms". A claim about them is a claim about each of them.
FAMILY = ("wn", "normprop", "wn_trelu")

STATUSES = ("finished", "diverged", "crashed")

_METHOD_ORDER = (UNNORMALIZED, BASELINE, *FAMILY, "wn_robust", "wn_mobn", "bwn")
_REQUIRED = ("suite", "stage", "method", "model", "seed")
_SETTINGS = ("learning_rate", "weight_decay", "warmup_epochs", "dropout")
_SECONDS = ("training", "evaluation", "building", "total")
_NUMBERS = (
    *_SETTINGS,
    "epochs",
    "validation_loss",
    *(f"measured_{split}" for split in SPLITS),
    *(f"{part}_seconds" for part in _SECONDS),
)
_COLUMNS = (
    "id",
    "process",
    *_REQUIRED,
    "join",
    "chosen_from",
    "edge",
    "status",
    "error",
    *_NUMBERS,
    "final",
    "curves",
    "signal",
    "step_seconds",
)


@dataclasses.dataclass(frozen=True, eq=False)
class TrialTable:
    """The content of trials.jsonl.

    Attributes:
        protocol: The settings that all trials share.
        processes: The processes that ran the trials, in the order of their start.
        frame: The trials, a row each, in an order that does not depend on the order of the lines.
            A row has the trial's `id`, its settings (`suite`, `stage`, `method`, `model`, `seed`,
            `learning_rate`, ...), its `status` and its results. Numbers that are missing are NaN.

            - `train`, `validation`, `test`: the final top-1 that the trial counts with, from 0 to
              1: 1 / classes, as of guessing, for a diverged trial without a figure; NaN for a
              crashed trial. `measured_train` and so on are the figures as they were measured.
            - `unstable`: whether the trial diverged or did not learn; False for a crashed trial,
              which says nothing about its method.
            - `final`, `curves`, `signal`, `step_seconds`: as in trials.jsonl.
    """

    protocol: dict
    processes: tuple[dict, ...]
    frame: pd.DataFrame

    @classmethod
    def from_records(cls, records: Iterable[dict]) -> "TrialTable":
        """Makes the table from the lines of trials.jsonl.

        Args:
            records: The lines, in any order. Among trials with the same id, the last one counts.

        Raises:
            ValueError: If there is no protocol, if there are several that differ, or if a trial
                lacks a required field.

        Example:

        >>> TrialTable.from_records([{"kind": "protocol", "classes": 10}]).frame.empty
        True
        """
        records = list(records)
        protocols = [record for record in records if record["kind"] == "protocol"]
        if not protocols:
            raise ValueError(
                "There is no line of kind 'protocol': nothing says what the trials have in common."
            )
        if any(protocol != protocols[0] for protocol in protocols):
            raise ValueError(
                "The lines of kind 'protocol' differ: trials of different protocols cannot be "
                "compared."
            )
        processes = {str(r["id"]): r for r in records if r["kind"] == "process"}
        trials = {str(r.get("id")): _checked(r) for r in records if r["kind"] == "trial"}
        return cls(
            protocol=protocols[0],
            processes=tuple(
                sorted(processes.values(), key=lambda r: (str(r.get("time")), r["id"]))
            ),
            frame=_frame(sorted(trials.values(), key=_sorting_key), protocols[0]["classes"]),
        )

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.protocol["classes"]

    def select(self, **values: object) -> pd.DataFrame:
        """Returns the trials with these values, for example `select(suite="cost", method="wn")`."""
        frame = self.frame
        for column, value in values.items():
            frame = frame[frame[column] == value]
        return frame

    def finals(self, method: str) -> pd.DataFrame:
        """Returns a method's final trials of the accuracy suite, one a seed."""
        return one_per_seed(self.select(suite="accuracy", stage="final", method=method))


def learned_from(classes: int) -> float:
    """Returns the lowest top-1 that counts as learned.

    It is twice that of guessing. With two classes it is halfway from guessing to perfect.

    Example:

    >>> learned_from(classes=10), learned_from(classes=2)
    (0.2, 0.75)
    """
    return min(2 / classes, (1 + 1 / classes) / 2)


def methods_of(trials: pd.DataFrame) -> tuple[str, ...]:
    """Returns the names of the methods of these trials, in the order of tables and figures."""
    return tuple(sorted(set(trials["method"]), key=method_place))


def method_place(name: str) -> tuple[int, str]:
    """Key that sorts methods as in tables and figures; unknown ones come last, by alphabet.

    Example:

    >>> sorted(["wn", "a_new_one", "bn"], key=method_place)
    ['bn', 'wn', 'a_new_one']
    """
    return _METHOD_ORDER.index(name) if name in _METHOD_ORDER else len(_METHOD_ORDER), name


def absent_from(names: Iterable[str]) -> tuple[str, ...]:
    """Returns the paper's WN algorithms that are not among these names.

    Example:

    >>> absent_from(["bn", "wn"])
    ('normprop', 'wn_trelu')
    """
    names = set(names)
    return tuple(name for name in FAMILY if name not in names)


def one_per_seed(trials: pd.DataFrame) -> pd.DataFrame:
    """Returns the last trial of each seed."""
    return trials.drop_duplicates("seed", keep="last")


def by_seed(trials: pd.DataFrame, column: str) -> pd.Series:
    """Returns a column with the seeds as its index, without missing values."""
    return one_per_seed(trials).set_index("seed")[column].dropna()


def gaps_by_seed(trials: pd.DataFrame) -> pd.Series:
    """Returns train minus test top-1 with the seeds as its index."""
    return (by_seed(trials, "train") - by_seed(trials, "test")).dropna()


def count_by_status(trials: pd.DataFrame) -> dict[str, int]:
    """Returns the number of trials that finished, diverged and crashed."""
    counts = trials["status"].value_counts()
    return {status: int(counts.get(status, 0)) for status in STATUSES}


def mean(values: pd.Series | list[float]) -> Estimate | None:
    """Returns the mean with its t interval, or None if there are no values."""
    return statistics.mean_interval(values) if len(values) else None


def paired_mean(first: pd.Series, second: pd.Series) -> Estimate | None:
    """Returns the mean of `first - second` over the index values that both have.

    Returns None if they have none in common.

    Example:

    >>> paired_mean(pd.Series({0: 3.0, 1: 5.0, 2: 9.0}), pd.Series({1: 4.0, 0: 2.0})).value
    1.0
    """
    return mean((first - second).dropna())


def _checked(record):
    spec = record.get("spec") or {}
    missing = [key for key in ("id", "status") if key not in record]
    missing += [key for key in _REQUIRED if key not in spec]
    if missing:
        raise ValueError(f"Trial {record.get('id')!r} lacks {', '.join(missing)}.")
    return record


def _sorting_key(record):
    spec = record["spec"]
    numbers = ("round", "number", "dropout", "weight_decay", "learning_rate", "seed")
    return (
        *(str(spec[key]) for key in ("suite", "stage", "model", "method")),
        *(float(spec.get(key) or 0) for key in numbers),
        json.dumps(spec, sort_keys=True),
        str(record["id"]),
    )


def _frame(records, classes):
    frame = pd.DataFrame([_row(record) for record in records], columns=list(_COLUMNS))
    frame[list(_NUMBERS)] = frame[list(_NUMBERS)].astype(float)
    guessed = frame["status"] == "diverged"
    crashed = frame["status"] == "crashed"
    for split in SPLITS:
        measured = frame[f"measured_{split}"]
        frame[split] = measured.where(measured.notna() | ~guessed, 1 / classes).mask(crashed)
    learned = (frame["status"] == "finished") & (frame["validation"] >= learned_from(classes))
    frame["unstable"] = ~learned & ~crashed
    return frame


def _row(record):
    spec, final = record["spec"], record.get("final") or {}
    seconds = record.get("seconds") or {}
    return {
        **{key: spec.get(key) for key in (*_REQUIRED, *_SETTINGS, "join", "chosen_from", "edge")},
        **{f"measured_{split}": (final.get(split) or {}).get("top1") for split in SPLITS},
        **{f"{part}_seconds": seconds.get(part) for part in _SECONDS},
        "id": str(record["id"]),
        "process": str(record.get("process") or ""),
        "status": record["status"],
        "error": record.get("error") or "",
        "epochs": record.get("epochs"),
        "validation_loss": (final.get("validation") or {}).get("loss"),
        "final": final,
        "curves": record.get("curves") or {},
        "signal": record.get("signal") or [],
        "step_seconds": record.get("step_seconds") or [],
    }
