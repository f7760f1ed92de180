"""Checks the records of a log against what this version knows.

A log may come from anywhere. What it says becomes file names, links and text of a page, settings of
networks, and numbers, so that each value must have the type and the form that the study writes.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from keras_wn import methods, models
from keras_wn.errors import UsageError
from keras_wn.study.plan import SPLITS, Done, TrialSpec
from keras_wn.study.protocol import VERSION, Protocol
from keras_wn.study.suites import SUITES
from keras_wn.training.config import TrainConfig
from keras_wn.training.flag_fields import shortened

STATUSES = ("finished", "diverged", "crashed")

# No number of a study comes near it.
_LARGEST = 1e300
_NUMBER = (int, float)
_NUMBER_OR_NONE = (int, float, type(None))
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,60}")
_TRIAL = re.compile(r"[0-9a-f]{12}")
_PROCESS = re.compile(r"p[0-9a-f]{1,32}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_BENCHMARKED = re.compile(r"[a-z0-9_]+(:[a-z0-9_]+)?")
# Numbers, times and versions, which are shown as text.
_ANY_TEXT = re.compile(r"[^\x00-\x1f\x7f]*")
_FIELDS = {field.name: field for field in dataclasses.fields(TrainConfig)}


@dataclasses.dataclass(frozen=True)
class _Optional:
    """A value that may be missing or None."""

    shape: Any


def _anything(value, place):
    """A value that another check is for."""


def _count(value, place):
    if not _is_of(value, (int,)) or value < 0:
        raise _refused(place, value, "an integer of 0 or more")


def _one_of(names: Callable[[], Iterable[str]] | Iterable[str]):
    """Text of a list that may grow after this module is imported."""

    def check(value, place):
        allowed = names() if callable(names) else names
        if not isinstance(value, str) or value not in allowed:
            raise _refused(place, value, ", ".join(allowed))

    return check


def _option(value, place):
    """A pair of a field of `TrainConfig` and its value."""
    if not isinstance(value, list) or len(value) != 2 or value[0] not in _FIELDS:
        raise _refused(place, value, "a pair of a flag of the runner and its value")
    name, number = value
    field = _FIELDS[name]
    kinds = typing.get_args(field.type) if isinstance(field.type, types.UnionType) else [field.type]
    kinds = [*kinds, int] if float in kinds else list(kinds)
    if not _is_of(number, tuple(kinds)):
        raise _refused(place, value, f"a value of --{name}")
    if field.metadata.get("choices"):
        _one_of(field.metadata["choices"])(number, place)


def _trial_id(value, place):
    _check(value, {"spec": _SPEC, "id": _TRIAL}, place, is_closed=False)
    spec = TrialSpec.from_record(value["spec"])
    if spec.id != value["id"]:
        raise _refused(f"{place}.id", value["id"], f"{spec.id}, which is that of its settings")


_METHOD, _MODEL = _one_of(methods.names), _one_of(models.names)
_SUITE, _STATUS, _SPLIT = _one_of(SUITES), _one_of(STATUSES), _one_of(SPLITS)
_FIGURES = _Optional({"loss": _NUMBER_OR_NONE, "top1": _NUMBER_OR_NONE, "top5": _NUMBER_OR_NONE})
_SPEC = {
    "suite": _SUITE,
    "stage": _NAME,
    "method": _METHOD,
    "model": _MODEL,
    "seed": _count,
    "train_size": _Optional(_count),
    "batch_size": _count,
    "train_epochs": _count,
    "learning_rate": _NUMBER,
    "weight_decay": _NUMBER,
    "warmup_epochs": _NUMBER,
    "options": [_option],
    "number": _Optional(_count),
    "chosen_from": [_TRIAL],
    "edges": [_NAME],
    "splits": [_SPLIT],
    "keeps_correct": (bool,),
    "curve_epochs": [_count],
    "signal_epochs": [_count],
    "beside": [_METHOD],
}
_TRIAL_RECORD = {
    "kind": _NAME,
    "id": _TRIAL,
    "spec": _SPEC,
    "status": _STATUS,
    "error": (str, type(None)),
    "epochs": _count,
    "final": {_SPLIT: _FIGURES},
    "correct": _Optional(_BASE64),
    "effective_rate": _Optional({"start": _NUMBER_OR_NONE, "end": _NUMBER_OR_NONE}),
    "curves": {_NAME: [_NUMBER_OR_NONE]},
    "signal": [
        {
            "epoch": _count,
            "gradient_norm": _NUMBER_OR_NONE,
            "blocks": [
                {
                    "block": (str,),
                    "mean": _NUMBER_OR_NONE,
                    "variance": _NUMBER_OR_NONE,
                    "gradient_norm": _NUMBER_OR_NONE,
                }
            ],
        }
    ],
    "step_seconds": [_NUMBER_OR_NONE],
    "seconds": {_NAME: _NUMBER_OR_NONE},
    "process": _Optional(_PROCESS),
}
_RECORDS = {
    "trial": _TRIAL_RECORD,
    "process": {
        "kind": _NAME,
        "id": _PROCESS,
        "command": (str,),
        "time": (str,),
        "versions": {_ANY_TEXT: (str,)},
        "backend": _NAME,
        "machine": {_NAME: (str, int, float, type(None))},
        "commit": _Optional(_ANY_TEXT),
        "starting_seconds": _Optional(_NUMBER),
    },
    "benchmark": {
        "kind": _NAME,
        "title": (str,),
        "rows": [{"name": _BENCHMARKED, "moved": _NUMBER, "total": _NUMBER}],
    },
    # Trials that turned out to be wrong, each with the process that ran it: it may be run again.
    "withdrawn": {"kind": _NAME, "reason": (str,), "trials": [[_TRIAL, _Optional(_PROCESS)]]},
}
_PLAN = {
    "planned": {
        "methods": [_METHOD],
        "suites": [_SUITE],
        "looks": [_count],
        "rules": {_NAME: (str,)},
    },
    "images": {"train": _count, "validation": _count, "test": _count},
    "classes": _count,
    "data": (str,),
}
# The groups of settings of a protocol. The flags of its other fields say what they may be.
_GROUPS = {
    "momentum": _NUMBER,
    "margin": _NUMBER,
    "level": _NUMBER,
    "curve_points": _count,
    "tuning": {
        "settings": _count,
        "extension": _count,
        "seeds": _count,
        "weight_decay": [_NUMBER, _NUMBER],
        "warmup_share": [_NUMBER, _NUMBER],
        "rungs": _Optional([[_count, _count]]),
    },
    "regularization": {
        "methods": [_METHOD],
        "cells": [[_option]],
        "seeds": _count,
        "statistics_batches": [_count],
        "statistics_seeds": _count,
    },
    "stability": {
        "seeds": _count,
        "lowest": _NUMBER,
        "side_by_side": _Optional((bool,)),
        "conditions": [
            {
                "models": [_MODEL],
                "methods": _Optional([_METHOD]),
                "warmup_epochs": [_NUMBER],
                "options": [[_option]],
                "batch_size": _count,
                "train_size": _Optional(_count),
                "train_epochs": _count,
            }
        ],
    },
    "work": {
        "methods": [_METHOD],
        "points": [[_Optional(_count), _MODEL, _count]],
        "factors": [_NUMBER],
        "seeds": _count,
    },
    "signal": {"model": _MODEL, "train_epochs": _count, "seeds": _count, "epochs": [_count]},
    "cost": {
        "model": _MODEL,
        "image_size": _count,
        "batch_sizes": [_count],
        "steps": _count,
        "rounds": _count,
    },
}
KINDS = ("protocol", *_RECORDS)


def check(record: Any) -> None:
    """Checks a line of a log.

    Args:
        record: What the line holds, as JSON has it.

    Raises:
        ValueError: For the first value that this version would not have written, with the place of
            the value, and what is allowed.

    Example:

    >>> check({"kind": "withdrawn", "reason": "made with a bug", "trials": [["abc", "p1"]]})
    Traceback (most recent call last):
        ...
    ValueError: trials.0.0 is 'abc'. Allowed: text of the form [0-9a-f]{12}
    """
    if not isinstance(record, dict) or record.get("kind") not in KINDS:
        kind = record.get("kind") if isinstance(record, dict) else record
        raise _refused("kind", kind, ", ".join(KINDS))
    if record["kind"] == "protocol":
        _check_protocol(record)
        return
    _check(record, _RECORDS[record["kind"]], "")
    if record["kind"] == "trial":
        _trial_id(record, "")


def trials_of(records: Iterable[Mapping[str, Any]]) -> Done:
    """The trials of a log by identity, without those that were withdrawn.

    Among trials with the same identity, the last one counts.
    """
    records = list(records)
    withdrawn = {tuple(pair) for r in records if r["kind"] == "withdrawn" for pair in r["trials"]}
    return {
        r["id"]: r
        for r in records
        if r["kind"] == "trial" and (r["id"], r.get("process")) not in withdrawn
    }


def _check_protocol(record):
    _check(record.get("version"), (int,), "version")
    if record["version"] != VERSION:
        raise _refused("version", record["version"], str(VERSION))
    fields = [field.name for field in dataclasses.fields(Protocol)]
    shapes = {name: _GROUPS.get(name, _anything) for name in fields}
    _check(record, {**_PLAN, **shapes}, "", is_closed=False)
    try:
        Protocol(**{name: record[name] for name in fields}).check()
    except (UsageError, TypeError) as error:
        raise ValueError(str(error).rstrip(".")) from error


def _check(value, shape, place, is_closed=True):
    """Checks that a value has a shape.

    Args:
        value: What JSON holds.
        shape: A tuple of types; a pattern of texts; a list of one shape, for a list of such; a list
            of several, for a list of as many; a dict of shapes by key, or of one shape by the
            shape of all keys; or a function that checks a value.
        place: Text that says where the value is.
        is_closed: Whether a dict may have no other keys.
    """
    if isinstance(shape, _Optional):
        if value is not None:
            _check(value, shape.shape, place)
    elif isinstance(shape, tuple):
        if not _is_of(value, shape):
            raise _refused(place, value, " or ".join(_TYPES[kind] for kind in shape))
    elif isinstance(shape, re.Pattern):
        if not isinstance(value, str) or not shape.fullmatch(value):
            raise _refused(place, value, f"text of the form {shape.pattern}")
    elif isinstance(shape, list):
        if not isinstance(value, list) or (len(shape) > 1 and len(value) != len(shape)):
            raise _refused(place, value, f"a list of {len(shape)}" if shape[1:] else "a list")
        for number, item in enumerate(value):
            _check(item, shape[min(number, len(shape) - 1)], _inside(place, number))
    elif isinstance(shape, dict):
        _check_dict(value, shape, place, is_closed)
    else:
        shape(value, place)


def _check_dict(value, shape, place, is_closed):
    if not isinstance(value, dict):
        raise _refused(place, value, "an object")
    keys = [key for key in shape if isinstance(key, str)]
    if not keys:
        ((of_key, of_value),) = shape.items()
        for key, item in value.items():
            _check(key, of_key, f"the key in {place}")
            _check(item, of_value, _inside(place, key))
        return
    for key in keys:
        if key not in value and not isinstance(shape[key], _Optional):
            raise _missing(_inside(place, key))
        _check(value.get(key), shape[key], _inside(place, key))
    if is_closed and (others := sorted(map(str, value.keys() - shape.keys()))):
        raise _refused(f"the key in {place or 'the record'}", others[0], ", ".join(keys))


_TYPES = {
    int: "an integer",
    float: "a number",
    str: "text",
    bool: "true or false",
    type(None): "null",
}


def _is_of(value, kinds):
    # Python's booleans are integers, and JSON's are not.
    if isinstance(value, bool):
        return bool in kinds
    # A number of JSON may be infinite, or larger than any float.
    is_large = isinstance(value, int | float) and not abs(value) < _LARGEST
    return isinstance(value, kinds) and not is_large


def _inside(place, key):
    return f"{place}.{key}" if place else str(key)


def _missing(place):
    return ValueError(f"{place} is missing")


def _refused(place, value, allowed):
    return ValueError(f"{place} is {shortened(repr(value))}. Allowed: {allowed}")
