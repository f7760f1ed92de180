"""Builds the first figure of the report, and the section of each claim."""

import statistics
from collections.abc import Iterator

import pandas as pd

from keras_wn import methods
from keras_wn.study import claims, estimates, figures, forest, judges, plan, table
from keras_wn.study.blocks import Paragraph, Section, Table, figures_of
from keras_wn.study.claims import Claim
from keras_wn.study.formatting import (
    MISSING,
    counted,
    fixed,
    interval,
    points,
    with_unit,
)
from keras_wn.study.plan import BASELINE, SPLITS
from keras_wn.study.questions import accuracy_question, cell_in_words, step_seconds
from keras_wn.study.table import TrialTable
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
    """Builds a section for each claim: its reason, its numbers, its rule and the paper's words."""
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


def _pieces(verdict, links):
    rows, before = [], None
    for piece in verdict.pieces:
        question = piece.question
        number = MISSING
        if piece.estimate is not None:
            text = with_unit(piece.estimate, question.unit, question.is_bound)
            number = links.link(text, question.trials)
        count = counted(piece.estimate.n, question.pairs[:-1]) if piece.estimate else MISSING
        # The number leads to the trials of the first side, and the pairs to those of the second.
        count = links.link(count, question.trials[::-1])
        name, words = question.name, in_words(piece)
        outcome = f"{'beside: ' if piece.beside else ''}{piece.outcome}"
        # Two numbers on one method have one outcome.
        if name == before:
            name, outcome = "", ""
        before = question.name
        outcome = f"{outcome} ({words})".strip() if words else outcome
        rows.append((name, question.quantity, number, count, outcome, question.note))
    columns = ("", "Quantity", "Mean [95 % interval]", "Pairs", "Outcome", "Note")
    if not any(row[-1] for row in rows):
        rows, columns = [row[:-1] for row in rows], columns[:-1]
    caption = (
        "The numbers that decide, and those beside them. Each interval is of 95 % by itself, and "
        "each outcome is corrected for the looks and the methods."
    )
    return Table(caption, columns, tuple(rows))


def _cost(trials, verdict, links):
    measured = [piece for piece in verdict.pieces if piece.estimate]
    if not measured:
        return
    is_share = measured[0].question.unit == "share"
    yield from figures_of(
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
            seconds, plain = step_seconds(trials, method, size)
            if seconds is None:
                cells += [MISSING, MISSING]
                continue
            milliseconds = fixed(1000 * statistics.median(seconds), 0)
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
    at_edge = [
        f"the {' and the '.join(choice.edges)} of {method}".replace("_", " ")
        for method, choice in trials.choices.items()
        if choice.edges and method in (BASELINE, *methods.FAMILY)
    ]
    if at_edge:
        yield Paragraph(
            f"The search chose {', '.join(at_edge)} at an edge of all that it tried, so that a "
            "better setting may lie beyond."
        )
    yield from figures_of(
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
            found = estimates.of_mean(100 * done[split]).interval(CONFIDENCE) if len(done) else None
            cells.append(links.link(interval(found, lambda x: fixed(x, 1)), finals["id"]))
        counts = table.count_by_status(finals)
        endings = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        rows.append((method, *cells, endings))
    columns = ("", *(f"{split.capitalize()} top-1, %" for split in SPLITS), "Seeds")
    return Table("Final top-1: mean over seeds [95 % interval].", columns, tuple(rows))


def _gap(trials, verdict, links):
    measured = [p for p in verdict.pieces if p.estimate and p.question.name in ("train", "test")]
    rows = forest.of_pieces(
        measured, lambda piece: (piece.question.name, "wn"), lambda piece: points(piece.estimate)
    )
    gap = judges.REPORTED_GAP
    yield from figures_of(
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
        lambda piece: points(piece.estimate),
    )
    yield from figures_of(
        "Test top-1, each minus bn as tuned unless another is named.",
        forest.draw(
            "regularized",
            "Test top-1 with the best regularizers minus bn's.",
            rows,
            "difference, points (band: equal)",
            trials.protocol.margin,
        ),
    )
    tuned = table.methods_of(trials.select(suite="regularization", stage="plain"))
    cells = {method: list(_cell_rows(trials, method)) for method in tuned}
    yield from figures_of(
        "What each regularizer changes on the validation split, over the seeds of the search. The "
        "best one is then scored on the final seeds.",
        [
            panel
            for number, (method, rows) in enumerate(cells.items(), start=1)
            for panel in forest.cells(rows, method, number)
        ],
    )
    yield from _rows_table(
        "The same in numbers: validation top-1 minus that without, points [95 % interval].",
        cells,
        links,
    )
    noise = figures.noise_rows(trials)
    yield from figures_of(
        "The noise of batch normalization: statistics of fewer images have more of it. If this "
        "noise were its whole lead, statistics of many images would test as wn does. The intervals "
        "are over seeds, without the noise of the test images.",
        figures.noise(noise, trials),
    )
    yield from _rows_table(
        "The same in numbers.",
        {"Test top-1 minus bn's with its own batches, points [95 % interval]": noise},
        links,
    )


def _rows_table(caption, by_column, links):
    """The numbers of forest plots, a column each, with their trials."""
    found = {
        column: {row.label: links.link(row.text, row.trials) for row in rows}
        for column, rows in by_column.items()
    }
    labels = list(dict.fromkeys(label for cells in found.values() for label in cells))
    if labels:
        rows = (
            (label, *(cells.get(label, MISSING) for cells in found.values())) for label in labels
        )
        yield Table(caption, ("", *found), tuple(rows))


def _cell_rows(trials, method):
    found = trials.select(suite="regularization", method=method)
    plain = table.finished(found[found["stage"] == "plain"])["validation"]
    tried = found[found["stage"].isin(["grid", "combined"])]
    cells = tried.groupby(["stage", "weight_decay", "options"], sort=False)
    for _, group in sorted(cells, key=lambda cell: _cell_place(*cell[0])):
        difference = table.paired_difference(100 * table.finished(group)["validation"], 100 * plain)
        yield forest.row_of_trials(cell_in_words(group), method, difference, group)


def _cell_place(stage, weight_decay, options):
    """Key that sorts cells: the combined one, decays, and other regularizers by their strength."""
    rest = dict(options)
    decay_on = rest.pop("decay_on", "")
    return stage == "grid", not decay_on, decay_on, tuple(rest.items()), weight_decay


def _stability(trials, verdict, links):
    measured = [piece for piece in verdict.pieces if piece.estimate]
    if len(trials.limits):
        yield Paragraph(
            "A trial is stable if its loss stays finite and it learns its training images better "
            f"than {100 * plan.learned_from(trials.classes):g} %. For each seed, the search "
            "encloses the largest stable learning rate to a factor of √2. If a trial learned "
            "nothing at a rate below those that its method is tuned in, the search goes on above "
            "it, and below it if no larger rate learns, either."
        )
    panels = [
        *forest.limits_against_baseline(measured, 1.0),
        *figures.limits_by_depth(trials),
        *figures.limits_by_condition(trials),
    ]
    yield from figures_of(
        "Largest stable learning rates, with 95 % intervals over seeds: against bn on the deepest "
        "network, by depth as they are set and divided by ‖v‖² (where the length of v has no "
        "effect, this is the step of its direction), and under other conditions.",
        panels,
    )
    if len(trials.limit_searches):
        yield _limits(trials, links)
    profiles = signal_profiles(trials)
    yield from figures_of(
        "The signal by depth at the start and as it drifts: medians over seeds.",
        figures.signal(profiles),
    )


def _limits(trials, links):
    rows = []
    keys = ["model", "batch_size", "options", "warmup_epochs", "method"]
    groups = trials.limit_searches.groupby(keys, sort=False)
    for (model, *condition, method), found in sorted(
        groups, key=lambda g: (table.depth(g[0][0]), str(g[0][1:4]), table.method_place(g[0][4]))
    ):
        known = found[found["bracket"].notna()]
        text = MISSING
        if len(known):
            estimate = estimates.of_mean(known["octaves"]).interval(CONFIDENCE)
            text = forest.rates(estimate, known["bracket"])
        ids = [trial for trials_ in found["trials"] for trial in trials_]
        words = figures.condition_in_words(*condition)
        without = len(found) - len(known)
        seeds = f"{len(known)} ({without} without a limit)" if without else str(len(known))
        rows.append((f"{method}, {model}{words}", links.link(text, ids), seeds))
    columns = ("Method, network and condition", "Geometric mean [95 % interval]", "Seeds")
    caption = "Largest stable learning rates. A seed has no limit if a trial crashed."
    return Table(caption, columns, tuple(rows))


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
    yield from figures_of(
        "Up is more accurate, right is more stable. Methods in the shaded area meet both.",
        figures.batch_free(pairs, trials.protocol.margin, 1.0),
    )
