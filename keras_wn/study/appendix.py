"""Builds the last sections of the report: protocol, tuning and machines."""

import json
from collections.abc import Iterator

from keras_wn.study import canvas, table
from keras_wn.study.blocks import Bullets, Code, Paragraph, Section, Table, figures_of
from keras_wn.study.canvas import Panel, line_of, panel, style_of
from keras_wn.study.formatting import MISSING, counted, fixed, significant, top1
from keras_wn.study.table import SECONDS, TrialTable
from keras_wn.study.trial_lists import TrialLinks

# The numbers that are tuned, their titles, and whether they are drawn on a logarithmic axis.
_TUNED = (
    ("learning_rate", "learning rate", True),
    ("weight_decay", "weight decay", True),
    ("warmup_epochs", "warm-up, epochs", False),
)


def build(trials: TrialTable, links: TrialLinks) -> Iterator[Section]:
    """Builds the sections on how and where the trials were run."""
    yield Section("protocol", "How the trials were done", tuple(_protocol(trials)), "", "Protocol")
    if len(trials.select(suite="accuracy", stage="tune")):
        yield Section("tuning", "Tuning", tuple(_tuning(trials, links)), "", "Tuning")
    yield Section("provenance", "Where this comes from", tuple(_provenance(trials)), "", "Machines")


def _tuning(trials, links):
    yield from figures_of(
        "Validation error of every tuning trial; the setting that was chosen is ringed.",
        draw_tuning(trials),
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


def draw_tuning(trials: TrialTable) -> list[Panel]:
    """Draws the validation error of every tuning trial; diverged ones at the top, chosen ringed."""
    found = trials.select(suite="accuracy", stage="tune")
    if not len(found):
        return []
    return [
        panel(
            f"tuning_{tuned[0]}",
            f"Validation error of every tuning trial against its {tuned[1]}.",
            lambda figure, tuned=tuned: _draw_tuned(figure, trials, found, *tuned),
        )
        for tuned in _TUNED
    ]


def _draw_tuned(figure, trials, found, key, title, is_log):
    axes = figure.subplots()
    names = table.methods_of(found)
    for method in names:
        color, tune = style_of(method).color, found[found["method"] == method]
        done = tune[tune["status"] == "finished"]
        axes.plot(done[key], 100 * (1 - done["validation"]), **line_of(method, ls="", ms=3))
        diverged = tune.loc[tune["status"] == "diverged", key]
        # In axes coordinates, so that the marks are above the top whatever the range is.
        above = {"transform": axes.get_xaxis_transform(), "clip_on": False}
        axes.plot(diverged, [1.04] * len(diverged), ls="", marker="x", ms=4, color=color, **above)
        choice = trials.choices.get(method)
        chosen = done[done["id"].isin(choice.trials)] if choice else done[:0]
        ring = {"marker": "o", "ms": 10, "mfc": "none", "mec": color, "mew": 1.5}
        axes.plot(chosen[key], 100 * (1 - chosen["validation"]), ls="", **ring)
    if (found["status"] == "diverged").any():
        axes.set_title("diverged: ×", loc="left", pad=14)
    canvas.scale_errors(axes)
    axes.set_xlabel(title)
    axes.set_ylabel("validation error, %")
    if is_log:
        canvas.make_logarithmic(axes.xaxis)
    canvas.legend(figure, [line_of(method, ls="") for method in names])


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
    settings = tuning.settings + tuning.extension
    entries = [
        f"Data: {record['data']}, {images['train']:,} training images{drawn}, "
        f"{images['validation']:,} to validate, {images['test']:,} to test.{wrong}",
        f"Training: {protocol.train_epochs} epochs of batches of {protocol.batch_size}, SGD with "
        f"momentum {protocol.momentum:g}, schedule {protocol.schedule}, {protocol.precision}.",
        f"Tuning: {settings} settings a method and {tuning.seeds} seeds of each, by a "
        "quasi-random sequence; the last "
        f"{tuning.extension} lie beyond an edge if the best setting lies at one. The range of "
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
    if not tuning.rungs:
        return ""
    (first, _), *others = tuning.rungs
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
