"""Builds the sections of the report: one for each claim, and what stands behind them."""

import json
import statistics as averages
from collections.abc import Iterator

import pandas as pd

from keras_wn.study import claims, figures, forest, judges, plan, statistics, table
from keras_wn.study.blocks import Bullets, Code, Figures, Paragraph, Section, Table
from keras_wn.study.claims import Claim
from keras_wn.study.formatting import (
    MISSING,
    counted,
    factor,
    fixed,
    interval,
    points,
    significant,
    top1,
)
from keras_wn.study.plan import BASELINE, SPLITS
from keras_wn.study.questions import accuracy_question, cell_in_words, step_seconds
from keras_wn.study.table import SECONDS, TrialTable
from keras_wn.study.trial_lists import TrialLinks
from keras_wn.study.verdicts import CONFIDENCE, Piece, Verdict, decide, in_words

_TAGS = {claims.READ: "read there", claims.SECOND_HAND: "read second-hand"}


def front(trials: TrialTable) -> list:
    """The forest plot of the first screen: every method's test top-1 minus the baseline's."""
    baseline = trials.finals(BASELINE)
    names = [m for m in trials.request.methods if m != BASELINE and len(trials.finals(m))]
    questions = [accuracy_question(trials, m, trials.finals(m), baseline) for m in names]
    pieces = decide(questions, trials.protocol.looks, trials.protocol.level)
    return forest.differences(
        pieces, trials.protocol.margin, "test_differences", f"test top-1 minus {BASELINE}'s"
    )


def build(trials: TrialTable, judged: dict[Claim, Verdict], links: TrialLinks) -> Iterator[Section]:
    """The sections of the claims, of the gap against the work, and of the trials' conditions."""
    evidence = {
        "C1": _cost,
        "C2": _cost,
        "C3": _accuracy,
        "C4": _gap,
        "C5": _regularization,
        "C6": _stability,
        "C7": _batch_free,
    }
    for claim, verdict in judged.items():
        blocks = [Paragraph(verdict.reason)]
        blocks += evidence[claim.key](trials, verdict, links)
        if verdict.pieces:
            blocks.append(_pieces(verdict, links))
        blocks.append(Paragraph(f"Rule: {claim.rule.format(margin=trials.protocol.margin)}"))
        blocks += [
            Paragraph(f"The paper reported: {r.text} ({r.source}; {_TAGS[r.tag]})")
            for r in claim.reported
        ]
        yield Section(
            claim.key.lower(),
            f"{claim.key}. {claim.text}",
            tuple(blocks),
            verdict.outcome,
            claim.key,
        )
    if len(trials.select(suite="work", stage="final")):
        yield Section(
            "work", "How the gap grows with the work", tuple(_work(trials, links)), "", "Work"
        )
    yield Section("protocol", "How the trials were done", tuple(_protocol(trials)), "", "Protocol")
    if len(trials.select(suite="accuracy", stage="tune")):
        yield Section("tuning", "Tuning", tuple(_tuning(trials, links)), "", "Tuning")
    yield Section("provenance", "Where this comes from", tuple(_provenance(trials)), "", "Machines")


_WRITE = {
    "points": lambda e: f"{points(e)} points",
    "share": lambda e: f"{interval(e, lambda x: fixed(100 * x, 1))} %",
    "ratio": lambda e: interval(e, lambda x: fixed(x, 3)),
    "octaves": factor,
}


def _pieces(verdict, links):
    rows = []
    for piece in verdict.pieces:
        question = piece.question
        number = MISSING
        if piece.estimate is not None:
            number = links.link(_WRITE[question.unit](piece.estimate), question.trials)
        count = counted(piece.estimate.n, question.pairs[:-1]) if piece.estimate else MISSING
        needs = f" ({words})" if (words := in_words(piece)) else ""
        outcome = f"{'beside: ' if piece.beside else ''}{piece.outcome}{needs}"
        rows.append((question.name, question.quantity, number, count, outcome, question.note))
    columns = ("", "Quantity", "Mean [95 % interval]", "Pairs", "Outcome", "Note")
    if not any(row[-1] for row in rows):
        rows, columns = [row[:-1] for row in rows], columns[:-1]
    return Table("The numbers that decide, and those beside them.", columns, tuple(rows))


def _figures(caption, panels):
    return [Figures(caption, tuple(panels))] if panels else []


def _cost(trials, verdict, links):
    measured = [piece for piece in verdict.pieces if piece.estimate]
    if not measured:
        return
    is_share = measured[0].question.unit == "share"
    yield from _figures(
        "Mean over rounds, in which the methods take turns, with 95 % intervals.",
        forest.steps(
            measured,
            "step_share" if is_share else "step_ratio",
            "share of the step in normalization" if is_share else "step time / that of none",
            judges.SIGNIFICANT_SHARE if is_share else judges.SLOWDOWN,
            0.0 if is_share else 1.0,
        ),
    )
    if is_share:
        yield _step_times(trials, links)
        yield from _tpu(trials)


def _step_times(trials, links):
    timed = trials.select(suite="cost")
    sizes = sorted(set(timed["batch_size"]))
    rows = []
    for method in table.methods_of(timed):
        cells = []
        for size in sizes:
            found = timed[(timed["method"] == method) & (timed["batch_size"] == size)]
            seconds = step_seconds(trials, method, size)
            plain = step_seconds(trials, plan.UNNORMALIZED, size)
            if seconds is None:
                cells += [MISSING, MISSING]
                continue
            milliseconds = fixed(1000 * averages.median(seconds), 0)
            ratio = (seconds / plain).quantile([0.25, 0.5, 0.75]) if plain is not None else None
            text = (
                MISSING
                if ratio is None
                else f"{fixed(ratio[0.5], 3)} ({fixed(ratio[0.25], 3)} to {fixed(ratio[0.75], 3)})"
            )
            cells += [links.link(milliseconds, found["id"]), links.link(text, found["id"])]
        rows.append((method, *cells))
    columns = [""]
    for size in sizes:
        columns += [f"Step of {size}, ms", f"Step of {size} / that of none: median (quartiles)"]
    cost = trials.protocol.cost
    caption = (
        f"Time of a training step of {cost['model']} at {cost['image_size']} pixels: medians over "
        f"{cost['rounds']} rounds."
    )
    return Table(caption, tuple(columns), tuple(rows))


def _tpu(trials):
    columns = ("", "Bytes moved, GB", "/ those of the first", "Memory, GB")
    for record in trials.benchmarks:
        first, *_ = record["rows"]
        yield Table(
            f"Of a chip, by the compiler's figures: {record['title']}. Nothing ran on a TPU.",
            columns,
            tuple(
                (
                    row["name"],
                    fixed(row["moved"] / 1e9, 1),
                    fixed(row["moved"] / first["moved"], 3),
                    fixed(row["total"] / 1e9, 1),
                )
                for row in record["rows"]
            ),
        )


def _accuracy(trials, verdict, links):
    if not len(trials.select(suite="accuracy", stage="final")):
        return
    yield _tops(trials, links)
    yield from _figures(
        "Error by epoch, in inference mode: median over seeds and their range.",
        figures.curves(trials),
    )


def _tops(trials, links):
    rows = []
    for method in trials.request.methods:
        finals = trials.finals(method)
        if not len(finals):
            continue
        done = table.finished(finals)
        cells = []
        for split in SPLITS:
            found = (
                statistics.of_mean(100 * done[split]).interval(CONFIDENCE) if len(done) else None
            )
            cells.append(links.link(interval(found, lambda x: fixed(x, 1)), finals["id"]))
        counts = table.count_by_status(finals)
        endings = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        rows.append((method, *cells, endings))
    columns = ("", *(f"{split.capitalize()} top-1, %" for split in SPLITS), "Seeds")
    return Table("Final top-1: mean over seeds [95 % interval].", columns, tuple(rows))


def _gap(trials, verdict, links):
    measured = [p for p in verdict.pieces if p.estimate and p.question.name in ("train", "test")]
    rows = forest.of_pieces(measured, lambda piece: (piece.question.name, "wn"), points)
    gap = judges.REPORTED_GAP
    yield from _figures(
        f"wn minus bn. The dotted line is the gap of {gap:g} points of the paper's ImageNet.",
        forest.draw(
            "gap",
            "Train and test top-1 of wn minus bn's, with 95 % intervals.",
            rows,
            "wn minus bn, points (band: equal)",
            trials.protocol.margin,
            bound=-gap,
        ),
    )


def _regularization(trials, verdict, links):
    measured = [piece for piece in verdict.pieces if piece.estimate]
    rows = forest.of_pieces(
        measured,
        lambda piece: (
            piece.question.name.replace(", against", "\nagainst"),
            piece.question.name.split(" ")[0],
        ),
        points,
    )
    yield from _figures(
        "Test top-1, each minus bn as tuned unless another is named.",
        forest.draw(
            "regularized",
            "Test top-1 with the best regularizers minus bn's.",
            rows,
            "difference, points (band: equal)",
            trials.protocol.margin,
        ),
    )
    panels = []
    for method in table.methods_of(trials.select(suite="regularization", stage="plain")):
        panels += forest.cells(list(_cell_rows(trials, method)), method)
    yield from _figures(
        "What each regularizer changes on the validation split, over the seeds of the search. The "
        "best one is then scored on the final seeds.",
        panels,
    )
    yield from _figures(
        "The noise of batch normalization: statistics of smaller batches have more of it, and "
        "those of larger batches less. If this noise were its whole lead, statistics of large "
        "batches would test as wn does.",
        figures.noise(trials),
    )


def _cell_rows(trials, method):
    found = trials.select(suite="regularization", method=method)
    plain = table.finished(found[found["stage"] == "plain"])["validation"]
    tried = found[found["stage"].isin(["grid", "combined"])]
    for _, group in tried.groupby(["stage", "weight_decay", "options"], sort=False):
        difference = table.paired_difference(100 * table.finished(group)["validation"], 100 * plain)
        if difference is None:
            continue
        estimate = difference.interval(CONFIDENCE)
        yield forest.Row(cell_in_words(group), method, estimate, points(estimate))


def _stability(trials, verdict, links):
    measured = [piece for piece in verdict.pieces if piece.estimate]
    if len(trials.limits):
        yield Paragraph(
            "A trial is stable if its loss stays finite and it learns its training images better "
            f"than {100 * plan.learned_from(trials.classes):g} %. For each seed, the search "
            "encloses the largest stable learning rate to a factor of √2."
        )
    panels = [
        *forest.limits_against_baseline(measured, 1.0),
        *figures.limits_by_depth(trials),
        *figures.limits_by_condition(trials),
    ]
    yield from _figures(
        "Largest stable learning rates, with 95 % intervals over seeds: against bn on the deepest "
        "network, by depth as they are set and divided by ‖v‖² (where the length of v has no "
        "effect, this is the step of its direction), and under other conditions.",
        panels,
    )
    if len(trials.limits):
        yield _limits(trials, links)
    profiles = signal_profiles(trials)
    yield from _figures(
        "The signal by depth at the start and as it drifts: medians over seeds.",
        figures.signal(profiles),
    )


def _limits(trials, links):
    rows = []
    keys = ["model", "batch_size", "options", "warmup_epochs", "method"]
    groups = trials.limits.groupby(keys, sort=False)
    for (model, *condition, method), found in sorted(
        groups, key=lambda g: (table.depth(g[0][0]), str(g[0][1:4]), table.method_place(g[0][4]))
    ):
        estimate = statistics.of_mean(found["octaves"]).interval(CONFIDENCE)
        text = interval(estimate, lambda x: significant(2.0**x))
        ids = [trial for trials_ in found["trials"] for trial in trials_]
        words = figures.condition_in_words(*condition)
        rows.append((f"{method}, {model}{words}", links.link(text, ids), str(len(found))))
    columns = ("Method, network and condition", "Geometric mean [95 % interval]", "Seeds")
    return Table("Largest stable learning rates.", columns, tuple(rows))


def signal_profiles(trials: TrialTable) -> pd.DataFrame:
    """The signal of each block by method and epoch: medians over seeds."""
    rows = [
        {**block, "method": trial.method, "epoch": measured["epoch"], "block": number}
        for trial in trials.select(suite="signal").itertuples()
        for measured in trial.signal
        for number, block in enumerate(measured["blocks"], start=1)
    ]
    columns = ["method", "epoch", "block", "variance", "gradient_norm"]
    frame = pd.DataFrame(rows, columns=columns)
    frame = frame.astype({"variance": float, "gradient_norm": float})
    return frame.groupby(["method", "epoch", "block"], as_index=False).median()


def _batch_free(trials, verdict, links):
    by_name: dict[str, list[Piece]] = {}
    for piece in verdict.pieces:
        by_name.setdefault(piece.question.name, []).append(piece)
    pairs = [tuple(found) for found in by_name.values() if len(found) == 2]
    yield from _figures(
        "Up is more accurate, right is more stable. Methods in the shaded area meet both.",
        figures.batch_free(pairs, trials.protocol.margin, 1.0),
    )


def gaps_by_work(trials: TrialTable) -> pd.DataFrame:
    """Each method's test top-1 minus the baseline's at each point of the work suite."""
    found = trials.select(suite="work", stage="final")
    rows = []
    for (size, model), at_point in found.groupby(["train_size", "model"]):
        baseline = at_point[at_point["method"] == BASELINE]
        for method in table.methods_of(at_point):
            own = at_point[at_point["method"] == method]
            difference = trials.difference(own, baseline) if method != BASELINE else None
            if difference is None:
                continue
            estimate = difference.interval(CONFIDENCE)
            rows.append(
                {
                    "method": method,
                    "train_size": int(size),
                    "model": model,
                    "depth": table.depth(model)[0],
                    "value": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                    "trials": tuple(own["id"]),
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
        "estimate",
    ]
    return pd.DataFrame(rows, columns=columns)


def _work(trials, links):
    gaps = gaps_by_work(trials)
    yield Paragraph(
        "The learning rate is tuned again at each point. The paper's ImageNet result lies far to "
        "the right of both figures, and stays the paper's."
    )
    yield from _figures(
        "Test top-1 minus bn's, with 95 % intervals over seeds, by training images and by depth.",
        figures.work(gaps, trials.protocol.margin) if len(gaps) else [],
    )
    rows = tuple(
        (
            f"{g.method}, {g.train_size:,} images, {g.model}",
            links.link(points(g.estimate), g.trials),
            str(g.estimate.n),
        )
        for g in gaps.itertuples()
    )
    columns = ("Method and point", "Test top-1 minus bn's, points [95 % interval]", "Seeds")
    yield Table("The gap at each point.", columns, rows)


def _tuning(trials, links):
    yield from _figures(
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
        "the learning rate is that of the method's card.",
        f"Final trials: {protocol.seeds} fresh seeds, with looks at "
        f"{' and '.join(map(str, protocol.looks))}.",
        f"Planned before the first trial: the methods {', '.join(planned['methods'])}; the suites "
        f"{', '.join(planned['suites'])}. {counted(exploratory, 'trial')} of others are "
        "exploratory.",
        f"Decisions: {planned['rules']['all']}",
    ]
    yield Bullets(tuple(entries))
    text = {key: value for key, value in record.items() if key not in ("kind", "planned")}
    yield Paragraph(("The whole protocol: ", Code(json.dumps(text))))


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
