"""Checks the lines of a log against what this version knows, and reads them into a table."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from keras_wn import methods
from keras_wn.errors import UsageError
from keras_wn.study import fields, table
from keras_wn.study.fields import Count, MethodName, Name, Scalar
from keras_wn.study.protocol import VERSION, Protocol
from keras_wn.study.questions import SETTINGS, SUITES
from keras_wn.study.specs import STATUSES, Done, Planner, Split, TrialId, TrialSpec
from keras_wn.study.table import TrialTable

Kind = Name
ProcessId = Annotated[str, fields.matching("p[0-9a-f]{1,32}")]
# Numbers, times and versions, which are shown as text.
Text = Annotated[str, fields.matching(r"[^\x00-\x1f\x7f]*")]


@dataclasses.dataclass(frozen=True)
class _Figures:
    loss: float | None
    top1: float | None
    top5: float | None


@dataclasses.dataclass(frozen=True)
class _Block:
    block: str
    mean: float | None
    variance: float | None
    gradient_norm: float | None


@dataclasses.dataclass(frozen=True)
class _Signal:
    epoch: Count
    gradient_norm: float | None
    blocks: tuple[_Block, ...]


@dataclasses.dataclass(frozen=True)
class _EffectiveRate:
    start: float | None
    end: float | None


@dataclasses.dataclass(frozen=True)
class _Trial:
    kind: Kind
    id: TrialId
    spec: TrialSpec
    status: Annotated[str, fields.one_of(STATUSES)]
    error: str | None
    epochs: Count
    final: dict[Split, _Figures | None]
    curves: dict[Name, tuple[float | None, ...]]
    signal: tuple[_Signal, ...]
    step_seconds: tuple[float | None, ...]
    seconds: dict[Name, float | None]
    correct: Annotated[str, fields.matching("[A-Za-z0-9+/]*={0,2}")] | None = None
    effective_rate: _EffectiveRate | None = None
    process: ProcessId | None = None


@dataclasses.dataclass(frozen=True)
class _Process:
    kind: Kind
    id: ProcessId
    command: str
    time: str
    versions: dict[Text, str]
    backend: Name
    machine: dict[Name, Scalar]
    commit: Text | None = None
    starting_seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class _Bytes:
    name: Annotated[str, fields.matching("[a-z0-9_]+(:[a-z0-9_]+)?")]
    moved: float
    total: float


@dataclasses.dataclass(frozen=True)
class _Benchmark:
    kind: Kind
    title: str
    rows: tuple[_Bytes, ...]


@dataclasses.dataclass(frozen=True)
class _Withdrawn:
    """Trials that turned out to be wrong, each with the process that ran it."""

    kind: Kind
    reason: str
    trials: tuple[tuple[TrialId, ProcessId | None], ...]


@dataclasses.dataclass(frozen=True)
class _Planned:
    methods: tuple[MethodName, ...]
    suites: tuple[Annotated[str, fields.one_of(SUITES)], ...]
    looks: tuple[Count, ...]
    rules: dict[Name, str]


@dataclasses.dataclass(frozen=True)
class _Images:
    train: Count
    validation: Count
    test: Count


_RECORDS = {"trial": _Trial, "process": _Process, "benchmark": _Benchmark, "withdrawn": _Withdrawn}
# The keys that the protocol's line has besides the protocol's own.
_PLAN = {"planned": _Planned, "images": _Images, "classes": Count, "data": str}
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
    kind = record.get("kind") if isinstance(record, dict) else record
    fields.read(Annotated[str, fields.one_of(KINDS)], kind, "kind")
    if kind == "protocol":
        _check_protocol(record)
        return
    found = fields.read(_RECORDS[kind], record)
    if kind == "trial":
        fields.read(Annotated[str, fields.one_of(SUITES)], found.spec.suite, "spec.suite")
        if found.spec.id != found.id:
            raise fields.refused("id", found.id, f"{found.spec.id}, which is that of its settings")


def _check_protocol(record):
    version = fields.read(int, record.get("version"), "version")
    if version != VERSION:
        raise fields.refused("version", version, str(VERSION))
    for name, kind in _PLAN.items():
        if name not in record:
            raise ValueError(f"{name} is missing")
        fields.read(kind, record[name], name)
    try:
        protocol_of(record).check()
    except UsageError as error:
        raise ValueError(str(error).rstrip(".")) from error


def protocol_of(record: Mapping[str, Any]) -> Protocol:
    """The protocol that the first record of a log holds."""
    return Protocol.read(record, SETTINGS)


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


def table_of(records: Iterable[dict]) -> TrialTable:
    """The table of the trials of a log.

    Args:
        records: The lines, in any order. Among trials with the same id, the last one counts.

    Raises:
        ValueError: If there is no protocol, or if there are several that differ.
    """
    by_kind: dict[str, list[dict]] = {kind: [] for kind in KINDS}
    records = list(records)
    for record in records:
        by_kind[record["kind"]].append(record)
    protocols = by_kind["protocol"]
    if not protocols:
        raise ValueError(
            "There is no line of kind 'protocol': nothing says what the trials have in common."
        )
    if any(protocol != protocols[0] for protocol in protocols):
        raise ValueError(
            "The lines of kind 'protocol' differ: trials of different protocols cannot be compared."
        )
    record, done = protocols[0], trials_of(records)
    frame = table.frame(done.values(), record["planned"])
    processes = {process["id"]: process for process in by_kind["process"]}
    # A method without a card, of another version, has no search that could be followed.
    names = tuple(name for name in table.methods_of(frame) if name in methods.names())
    return TrialTable(
        record=record,
        planner=Planner(protocol_of(record), names, record["classes"]),
        done=done,
        processes=tuple(sorted(processes.values(), key=lambda r: (str(r["time"]), r["id"]))),
        frame=frame,
        # A benchmark that was repeated counts once.
        benchmarks=tuple({r["title"]: r for r in by_kind["benchmark"]}.values()),
        withdrawn=tuple(sorted(by_kind["withdrawn"], key=lambda r: r["reason"])),
    )
