"""Builds the sections behind those of the claims: work, protocol, tuning and machines."""

import json
import math
from collections.abc import Iterator

import pandas as pd

from keras_wn.study import figures, table
from keras_wn.study.blocks import Bullets, Code, Paragraph, Section, Table, figures_of
from keras_wn.study.formatting import MISSING, counted, fixed, points, significant, top1
from keras_wn.study.plan import BASELINE
from keras_wn.study.table import SECONDS, TrialTable
from keras_wn.study.trial_lists import TrialLinks
from keras_wn.study.verdicts import CONFIDENCE


def build(trials: TrialTable, links: TrialLinks) -> Iterator[Section]:
    """Builds the sections of the gap against the work, and of how and where the trials were run."""
    if len(trials.select(suite="work", stage="final")):
        yield Section(
            "work", "How the gap grows with the work", tuple(_work(trials, links)), "", "Work"
        )
    yield Section("protocol", "How the trials were done", tuple(_protocol(trials)), "", "Protocol")
    if len(trials.select(suite="accuracy", stage="tune")):
        yield Section("tuning", "Tuning", tuple(_tuning(trials, links)), "", "Tuning")
    yield Section("provenance", "Where this comes from", tuple(_provenance(trials)), "", "Machines")


def gaps_by_work(trials: TrialTable) -> pd.DataFrame:
    """Each method's test top-1 minus the baseline's at each point of the work suite."""
    found = trials.select(suite="work", stage="final")
    rows = []
    for (size, model), at_point in found.groupby(["train_size", "model"]):
        baseline = at_point[at_point["method"] == BASELINE]
        for method in table.methods_of(at_point):
            own = at_point[at_point["method"] == method]
            difference = trials.difference(own, baseline) if method != BASELINE else None
            if method == BASELINE:
                continue
            # Without a pair that finished, the point has a row that says so.
            estimate = difference and difference.interval(CONFIDENCE)
            rows.append(
                {
                    "method": method,
                    "train_size": int(size),
                    "model": model,
                    "depth": table.depth(model)[0],
                    "value": estimate.value if estimate else math.nan,
                    "low": estimate.low if estimate else math.nan,
                    "high": estimate.high if estimate else math.nan,
                    "trials": tuple(own["id"]),
                    "unfinished": table.unfinished(own),
                    "estimate": estimate,
                }
            )
    columns = [
        "method",
        "train_size",
        "model",
        "depth",
        "value",
        "low",
        "high",
        "trials",
        "unfinished",
        "estimate",
    ]
    return pd.DataFrame(rows, columns=columns)


def _work(trials, links):
    gaps = gaps_by_work(trials)
    yield Paragraph(
        "The learning rate is tuned again at each point. The paper's ImageNet result lies far to "
        "the right of both figures, and stays the paper's."
    )
    yield from figures_of(
        "Test top-1 minus bn's, by training images and by depth. The 95 % intervals are over "
        "seeds, without the noise of the test images.",
        figures.work(gaps[gaps["estimate"].notna()], trials.protocol.margin),
    )
    rows = tuple(
        (
            f"{g.method}, {g.train_size:,} images, {g.model}",
            links.link(points(g.estimate), g.trials),
            f"{g.estimate.n if g.estimate else 0}{f' ({g.unfinished})' if g.unfinished else ''}",
        )
        for g in gaps.itertuples()
    )
    columns = ("Method and point", "Test top-1 minus bn's, points [95 % interval]", "Seeds")
    yield Table("The gap at each point.", columns, rows)


def _tuning(trials, links):
    yield from figures_of(
        "Validation error of every tuning trial; the setting that was chosen is ringed.",
        figures.tuning(trials),
    )
    rows = []
    for method, choice in trials.choices.items():
        setting = choice.setting
        cells = (
            significant(setting.learning_rate),
            significant(setting.weight_decay),
            significant(setting.warmup_share * trials.protocol.train_epochs),
            top1(choice.top1),
            ", ".join(choice.edges).replace("_", " ") or MISSING,
        )
        rows.append((method, *(links.link(cell, choice.trials) for cell in cells)))
    columns = (
        "",
        "Learning rate",
        "Weight decay",
        "Warm-up, epochs",
        "Validation top-1, %",
        "At an edge",
    )
    yield Table("The setting that was chosen on validation.", columns, tuple(rows))


def _protocol(trials):
    protocol, record = trials.protocol, trials.record
    images, tuning = record["images"], protocol.tuning
    planned = record["planned"]
    drawn = ", drawn anew by each seed" if protocol.train_size else ""
    wrong = (
        f" {100 * protocol.label_noise:g} % of the training labels are wrong."
        if protocol.label_noise
        else ""
    )
    exploratory = int(trials.frame["exploratory"].sum())
    settings = tuning["settings"] + tuning["extension"]
    entries = [
        f"Data: {record['data']}, {images['train']:,} training images{drawn}, "
        f"{images['validation']:,} to validate, {images['test']:,} to test.{wrong}",
        f"Training: {protocol.train_epochs} epochs of batches of {protocol.batch_size}, SGD with "
        f"momentum {protocol.momentum:g}, schedule {protocol.schedule}, {protocol.precision}.",
        f"Tuning: {settings} settings a method and {tuning['seeds']} seeds of each, by a "
        "quasi-random sequence; the last "
        f"{tuning['extension']} lie beyond an edge if the best setting lies at one. The range of "
        f"the learning rate is that of the method's card.{_rungs(tuning)}",
        f"Final trials: {protocol.seeds} fresh seeds, with looks at "
        f"{' and '.join(map(str, protocol.looks))}.",
        f"Planned before the first trial: the methods {', '.join(planned['methods'])}; the suites "
        f"{', '.join(planned['suites'])}. {counted(exploratory, 'trial')} of others are "
        "exploratory.",
        f"Decisions: {planned['rules']['all']}",
    ]
    entries += [
        f"{counted(len(record['trials']), 'trial')} withdrawn, and not among those above: "
        f"{record['reason']}"
        for record in trials.withdrawn
    ]
    yield Bullets(tuple(entries))
    text = {key: value for key, value in record.items() if key not in ("kind", "planned")}
    yield Paragraph(("The whole protocol: ", Code(json.dumps(text))))


def _rungs(tuning):
    """Names the rungs of a search that trains its best settings for longer."""
    if "rungs" not in tuning:
        return ""
    (first, _), *others = tuning["rungs"]
    steps = [f"the best {count} for {epochs}" for epochs, count in others]
    return f" All of them are trained for {first} epochs, then {', then '.join(steps)}."


def _provenance(trials):
    rows = tuple(
        (
            process["id"],
            Code(process["command"]),
            str(process["time"]),
            str(process.get("commit") or MISSING),
            process["backend"],
            f"{process['machine']['processor']}, {process['machine']['cores']} cores",
            ", ".join(f"{name} {version}" for name, version in process["versions"].items()),
        )
        for process in trials.processes
    )
    columns = ("Process", "Command", "Started", "Commit", "Backend", "Machine", "Versions")
    yield Table("The processes that ran the trials.", columns, rows)
    sums = trials.frame.groupby("suite")[[f"{part}_seconds" for part in SECONDS]].sum() / 60
    rows = tuple(
        (str(suite), *(fixed(value, 1) for value in row)) for suite, row in sums.iterrows()
    )
    columns = ("Suite", *(f"{part.capitalize()}, minutes" for part in SECONDS))
    yield Table("Time spent, added up over the processes.", columns, rows)
    crashed = trials.frame[trials.frame["status"] == "crashed"]
    if len(crashed):
        yield Bullets(tuple(f"{t.id} crashed: {t.error}" for t in crashed.itertuples()))
