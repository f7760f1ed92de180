"""Where the trials come from, and which crashed."""

import json

from keras_wn.study.analysis.counts import Counts
from keras_wn.study.analysis.profile import PARTS, Profile
from keras_wn.study.report import numbers
from keras_wn.study.report.document import Code, Link, Paragraph, Section, Table


def section(context):
    """Commands, versions and machines, and the errors of crashed trials.

    Args:
        context: `Context`.

    Returns:
        `Section`.
    """
    blocks = (_processes(context), *_crashes(context), *_profile(context))
    return Section("provenance", "Where this comes from", blocks)


def _processes(context):
    alike = {}
    for process in context.results.log.processes:
        known = {key: value for key, value in process.items() if key not in ("id", "time", "starting_seconds")}
        alike.setdefault(json.dumps(known, sort_keys=True), []).append(process)
    if not alike:
        return Paragraph("The log says of no process where it ran.")
    rows = tuple(_row(processes) for processes in alike.values())
    columns = ("Command", "Commit", "Processes, first start (UTC)", "Machine", "Versions")
    return Table("Processes that ran trials, those that are alike together.", columns, rows, kind="wide")


def _row(processes):
    first = processes[0]
    return (
        (Code(first.get("command") or numbers.MISSING),),
        first.get("commit") or "not of a checkout",
        f"{len(processes)}, {first.get('time')}",
        _pairs(first.get("machine")),
        f"{_pairs(first.get('versions'))}; backend {first.get('backend')}",
    )


def _pairs(known):
    return ", ".join(f"{key} {value}" for key, value in (known or {}).items())


def _crashes(context):
    crashed = [trial for trial in context.results.log.trials if trial.crashed]
    if not crashed:
        yield Paragraph("No trial crashed.")
        return
    rows = tuple(
        (
            (Link(trial.id, context.groups.row(trial)),),
            f"{trial.spec['suite']}, {trial.spec['stage']}: {trial.method} on {trial.model}, seed {trial.seed}",
            trial.error or "no error text",
        )
        for trial in crashed
    )
    yield Table(
        "Crashed trials. They have no result, and count nowhere else.", ("Trial", "What", "Error"), rows, kind="wide"
    )


def _profile(context):
    profile = Profile.of(context.results.log)
    if not profile.total:
        return
    rows = [(suite, *(f"{seconds[part]:.0f}" for part in PARTS)) for suite, seconds in profile.suites.items()]
    yield Table("Seconds of the trials, added up over processes.", ("Suite", *map(str.capitalize, PARTS)), tuple(rows))
    yield Paragraph(
        f"{profile.training_share:.0%} of {profile.total:.0f} seconds went to training steps; {profile.starting:.0f} to the start of "
        "processes. Building is making and compiling a network, and putting it at its start."
    )


def counts(context):
    """How all trials ended, in a sentence."""
    found = Counts.of(context.results.log.trials)
    return (
        f"{numbers.counted(found.total, 'trial')}: {found.finished} finished, {found.diverged} diverged, "
        f"{found.crashed} crashed."
    )
