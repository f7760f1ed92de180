"""Builds the report's sections of the suites: their tables, and the figures beside them."""

import collections

import pandas as pd

from keras_wn.study import accuracy, figures, table
from keras_wn.study.claims import Claim
from keras_wn.study.cost import MethodCost
from keras_wn.study.formatting import (
    MISSING,
    after,
    counted,
    fixed,
    interval,
    percent,
    points,
    significant,
    top1,
    with_unit,
)
from keras_wn.study.report.blocks import Figures, Link, Paragraph, Section, Table
from keras_wn.study.report.trials import TrialLinks
from keras_wn.study.results import Results
from keras_wn.study.stability import FACTOR
from keras_wn.study.table import BASELINE, SPLITS, learned_from

_TOPS = tuple(f"{split.capitalize()} top-1, %" for split in SPLITS)
_CENSORED = {"at least": "≥ ", "below": "below the grid", None: ""}


def suite_sections(
    results: Results, claims: tuple[Claim, ...], links: TrialLinks
) -> tuple[Section, ...]:
    """Builds a section for each suite; for a suite without trials, one that says so.

    Args:
        results: The summaries of the suites.
        claims: The claims, which the titles name.
        links: Links the numbers to their trials.
    """
    suites = (
        ("accuracy", "Accuracy ({})", results.accuracy, _accuracy),
        ("stability", "Stability ({})", results.stability.sweeps, _stability),
        ("regularization", "Regularization ({})", results.regularization.methods, _regularization),
        ("signal", "Signal by depth (a cause of C6)", results.signal, _signal),
        ("cost", "Cost ({})", results.cost, _cost),
    )
    sections = []
    for suite, title, found, build in suites:
        answered = ", ".join(claim.key for claim in claims if claim.suite == suite)
        missing = [Paragraph(f"Not measured: there are no trials of the suite {suite}.")]
        blocks = build(results, links) if found else missing
        sections.append(Section(suite, title.format(answered), tuple(blocks)))
    return tuple(sections)


def endings(trials: pd.DataFrame) -> str:
    """Writes the number of trials, and how many of them diverged or crashed."""
    counts = table.count_by_status(trials)
    bad = [f"{counts[status]} {status}" for status in ("diverged", "crashed") if counts[status]]
    return f"{len(trials)} ({', '.join(bad)})" if bad else str(len(trials))


def _figures(caption, panels):
    return [Figures(caption, tuple(panels))] if panels else []


def _accuracy(results, links):
    found = results.accuracy
    if any(len(method.finals) for method in found.values()):
        yield _finals(
            results, links, "interquartile mean over seeds [95 % bootstrap interval]", "iqm"
        )
        yield from _figures(
            "Final trials: seeds as ticks, their interquartile mean with its 95 % interval.",
            figures.final_accuracy(found),
        )
        yield from _against_baseline(found, links)
        yield _finals(results, links, "mean over seeds [95 % t interval]", "mean")
        yield from _figures(
            "Error by epoch: median over seeds, and their range as a band.", figures.curves(found)
        )
    else:
        yield Paragraph("There are no final trials yet.")
    yield _tuning(found, links)
    for method, summary in found.items():
        if len(summary.finals) and summary.best and summary.best["id"] != summary.chosen["id"]:
            best = Link(summary.best["id"], links.row(summary.best["id"]))
            text = (
                f"{method}: the final trials do not have the setting of the tuning trial that is "
                "best by now, "
            )
            yield Paragraph((text, best, "."))
    yield from _figures(
        "Tuning: every trial against one setting at a time; the chosen one is ringed, diverged "
        "ones are at the top.",
        figures.tuning(found),
    )


def _finals(results, links, words, statistic):
    target = results.table.protocol.get("target_top1")
    with_target = statistic == "iqm" and target is not None
    rows = []
    for method, found in results.accuracy.items():
        tops = [found.tops[split] for split in SPLITS]
        cells = [
            endings(found.finals),
            *(percent(center and getattr(center, statistic)) for center in tops),
            points(found.gap and getattr(found.gap, statistic)),
            *([_epochs_to(found.target)] if with_target else []),
        ]
        rows.append(links.link_row(method, cells, found.finals))
    columns = ["Method", "Seeds", *_TOPS, "Train − test, points"]
    columns += [f"Epochs to {top1(target)} % on validation"] if with_target else []
    return Table(f"Final trials: {words}.", tuple(columns), tuple(rows))


def _epochs_to(target: accuracy.Target):
    if not target.epochs:
        return MISSING
    median = "not reached" if target.median is None else f"{target.median:g}"
    return f"{median} ({target.reached} of {len(target.epochs)} seeds)"


def _against_baseline(found, links):
    rows = []
    for method, summary in found.items():
        against = summary.against_baseline
        if against and against.test:
            cells = (
                points(against.test),
                points(against.train),
                points(against.gap),
                percent(against.improvement),
                str(against.test.n),
            )
            rows.append(links.link_row(method, cells, summary.finals))
    if not rows:
        return
    yield Table(
        "Final trials minus bn's, paired by seed: mean difference [95 % t interval], points.",
        (
            "Method",
            "Test",
            "Train",
            "Train − test",
            "Tests better than bn, % of pairs of runs",
            "Pairs",
        ),
        tuple(rows),
    )
    baseline = links.link_groups(found[BASELINE].finals["id"])
    yield Paragraph(("The other half of each pair: final trials of ", *baseline, "."))


def _tuning(found, links):
    rows = []
    for method, summary in found.items():
        chosen = summary.chosen
        trials = links.link(endings(summary.tune), summary.tune["id"])
        if chosen is None:
            rows.append((method, trials, *[MISSING] * 5))
            continue
        settings = ("learning_rate", "weight_decay", "warmup_epochs")
        cells = [*(significant(chosen[key], 4) for key in settings), top1(chosen["validation"])]
        anchor = links.row(chosen["id"])
        numbers = (Link(text, anchor, is_number=True) for text in cells)
        edge = "yes: may be better beyond" if summary.edge else "no"
        rows.append((method, trials, *numbers, edge))
    columns = (
        "Method",
        "Tuning trials",
        "Learning rate",
        "Weight decay",
        "Warm-up, epochs",
        "Validation top-1, %",
        "At the edge",
    )
    return Table("Tuning: the setting that was chosen on validation.", columns, tuple(rows))


def _stability(results, links):
    found, classes = results.stability, results.table.classes
    yield Paragraph(
        "A trial is unstable if its loss became not finite (diverged), or if it finished with a "
        f"validation top-1 below {significant(100 * learned_from(classes))} % (did not learn; "
        f"guessing gives {significant(100 / classes)} %). The largest stable learning rate of a "
        "seed is the one up to which the whole grid is stable; where the smallest one is "
        "unstable, it counts as one step of the grid below. Sensitivity is how far validation "
        "top-1 is below its best of the grid, on average over the grid, with guessing for "
        "unstable trials; of the seeds for which any rate is stable."
    )
    yield _limits(found, links)
    yield Figures(
        "Above, every trial by its learning rate; below, validation error, where lines join "
        "medians over seeds and an unstable trial counts as guessing (dotted). Last, the largest "
        "stable learning rate: geometric mean and range over seeds, hollow where a seed's is at an "
        "end of the grid.",
        (*figures.learning_rates(found, classes), *figures.depth(found)),
    )
    for model in found.models:
        yield _unstable_shares(found, links, model)


def _limits(found, links):
    rows = []
    for (model, method), sweep in found.sweeps.items():
        by_decades = sorted(sweep.limits.values(), key=lambda limit: limit.decades)
        counts = collections.Counter(map(_limit, by_decades))
        cells = (
            interval(sweep.decades, lambda x: significant(10**x)),
            ", ".join(f"{count}× {text}" for text, count in counts.items()) or MISSING,
            _sensitivity(sweep),
        )
        rows.append(links.link_row(f"{method}, {model}", cells, sweep.trials))
    columns = (
        "Method, network",
        "Geometric mean [95 % interval]",
        "Seeds",
        "Sensitivity, points [95 % interval]",
    )
    caption = "Largest stable learning rate, and sensitivity to the learning rate."
    return Table(caption, columns, tuple(rows))


def _limit(limit):
    rate = "" if limit.learning_rate is None else significant(limit.learning_rate)
    return f"{_CENSORED[limit.censored]}{rate}"


def _sensitivity(sweep):
    without = len(sweep.limits) - (sweep.sensitivity.n if sweep.sensitivity else 0)
    text = points(sweep.sensitivity).replace("+", "")
    return f"{text} (no rate is stable for {counted(without, 'seed')})" if without else text


def _unstable_shares(found, links, model):
    rows = []
    for method in found.methods:
        if (model, method) in found.sweeps:
            cells = found.sweeps[model, method].cells
            shares = (links.link(_unstable_share(cell), cell.trials["id"]) for cell in cells)
            rows.append((method, *shares))
    rates = [significant(cell.learning_rate) for cell in cells]
    return Table(
        f"{model}: unstable trials by learning rate, of how many (diverged + did not learn) "
        "[95 % Wilson interval, %].",
        ("Method", *(f"at {rate}" for rate in rates)),
        tuple(rows),
    )


def _unstable_share(cell):
    crashed = table.count_by_status(cell.trials)["crashed"]
    suffix = f", {crashed} crashed" if crashed else ""
    if cell.unstable is None:
        return f"{MISSING}{suffix}"
    count = f"{cell.diverged + cell.not_learned} of {cell.unstable.n}"
    kinds = f" ({cell.diverged} + {cell.not_learned})" if cell.unstable.value else ""
    ends = ", ".join(fixed(100 * end, 0) for end in (cell.unstable.low, cell.unstable.high))
    return f"{count}{kinds} [{ends}]{suffix}"


def _regularization(results, links):
    found = results.regularization
    rows = []
    for method, grid in found.methods.items():
        best = grid.best.trials["id"] if grid.best else ()
        rows.append(
            (
                method,
                links.link(points(grid.before), grid.finals["id"]),
                links.link(_setting(grid.best) if grid.best else MISSING, best),
                links.link(points(grid.after), best),
            )
        )
    yield Table(
        "Test top-1 minus bn's, paired by seed: mean difference [95 % t interval], points.",
        ("Method", "As tuned", "Best cell on validation", "Best cell"),
        tuple(rows),
    )
    yield from _figures(
        "Test top-1 over the grid: mean over seeds with its 95 % interval; the band is that of bn "
        "as tuned.",
        figures.regularization(found),
    )
    for method, grid in found.methods.items():
        yield _grid(method, grid, links)


def _grid(method, grid, links):
    rows = []
    for cell in grid.cells:
        cells = (endings(cell.trials), *(percent(cell.tops[split]) for split in SPLITS))
        best = "best on validation" if cell is grid.best else MISSING
        rows.append((*links.link_row(_setting(cell), cells, cell.trials), best))
    columns = ("Cell", "Seeds", *_TOPS, "Chosen")
    return Table(f"{method}: mean over seeds [95 % t interval].", columns, tuple(rows))


def _setting(cell):
    return f"dropout {cell.dropout:g}, weight decay {significant(cell.weight_decay)}"


def _signal(results, links):
    found = results.signal
    yield Paragraph(
        "The paper is reported to have seen output norms that stay similar over depth for the "
        "first epochs, then blow up in the last layers and vanish in the first (seminar notes on "
        "the paper, berkeley-deep-learning/cs294-131-f17; read second-hand). Here a variance that "
        f"is {FACTOR:g} times as large or as small counts as changed, which is our choice; the "
        "numbers are of seeds, and no verdict is made of them."
    )
    yield _drift(found, links)
    yield from _figures(
        "Variance of each block's output and norm of the loss's gradient with respect to it: "
        "medians over seeds.",
        figures.signal(found),
    )
    yield _ratios_by_epoch(found, links)


def _drift(found, links):
    rows = []
    for method, summary in found.items():
        drift = summary.drift
        counts = (drift.preserved, drift.blown_up, drift.vanished)
        cells = (endings(summary.trials), *(f"{count} of {drift.n}" for count in counts))
        rows.append(links.link_row(method, cells, summary.trials))
    columns = (
        "Method",
        "Seeds",
        "At the start: last block as the first",
        "Later: last block grew",
        "Later: first block fell",
    )
    return Table(
        f"Seeds whose variance changed by a factor of {FACTOR:g} or more, of those that were "
        "measured at the start and later.",
        columns,
        tuple(rows),
    )


def _ratios_by_epoch(found, links):
    epochs = sorted({profile.epoch for summary in found.values() for profile in summary.profiles})
    rows = []
    for method, summary in found.items():
        by_epoch = {p.epoch: f"{significant(p.ratio)} ({p.n})" for p in summary.profiles}
        cells = [by_epoch.get(epoch, MISSING) for epoch in epochs]
        rows.append(links.link_row(method, cells, summary.trials))
    caption = "Variance of the last block divided by that of the first: median over seeds "
    return Table(f"{caption}(their number).", ("Method", *map(after, epochs)), tuple(rows))


def _cost(results, links):
    rows = []
    for method, found in results.cost.items():
        rows.append(links.link_row(method, _cost_cells(found), found.trials))
    columns = (
        "Method",
        "Rounds",
        "Step, ms: median (quartiles)",
        "Time / that of none: median (quartiles)",
        "Mean [95 % t interval]",
        "Share in normalization, % [95 % t interval]",
    )
    caption = "Time of a training step, by rounds in which the methods are timed side by side."
    yield Table(caption, columns, tuple(rows))
    yield from _figures(
        "Time of a training step: median and quartiles over rounds; and its ratio to none: mean "
        "over rounds and 95 % interval.",
        figures.cost(results.cost),
    )


def _cost_cells(found: MethodCost):
    return (
        str(len(found.rounds)),
        _quartiles(found.quartiles, 1000, digits=1),
        _quartiles(found.ratio_quartiles, 1, digits=3),
        with_unit(found.ratio, "ratio"),
        percent(found.share),
    )


def _quartiles(values, scale, digits):
    if values is None:
        return MISSING
    low, middle, high = (fixed(scale * value, digits) for value in values)
    return f"{middle} ({low} to {high})"
