"""Builds the report's sections on how and where the trials were run."""

import json
from collections.abc import Iterator

from keras_wn.study.formatting import MISSING, significant
from keras_wn.study.report.blocks import Bullets, Code, Link, Paragraph, Section, Table
from keras_wn.study.report.trials import TrialLinks
from keras_wn.study.results import PARTS, TimeSpent
from keras_wn.study.table import TrialTable


def protocol_section(trials: TrialTable) -> Section:
    """Builds the section that says how the trials were done, with all numbers."""
    protocol = trials.protocol
    blocks = [_bullets("training", "Data and training", _training(protocol))]
    if protocol.get("tuning"):
        seeds = trials.select(suite="accuracy", stage="final")["seed"].unique()
        words = _tuning(protocol["tuning"], sorted(map(str, seeds)))
        blocks.append(_bullets("tuning", "Tuning and final trials", words))
    blocks.append(_bullets("suites", "The other suites", _suites(protocol)))
    blocks.append(_bullets("statistics", "Statistics", _statistics(protocol)))
    return Section("protocol", "Protocol", tuple(blocks))


def provenance_section(trials: TrialTable, links: TrialLinks) -> Section:
    """Builds the section on commands, versions and machines, crashes and the time spent."""
    blocks = (_processes(trials), _crashes(trials, links), *_time_spent(trials))
    return Section("provenance", "Where this comes from", blocks)


def _bullets(anchor, title, entries: Iterator[str]):
    return Section(anchor, title, (Bullets(tuple(entries)),))


def _training(protocol):
    counts, size = protocol.get("images") or {}, protocol.get("image_size")
    source = f" ({protocol['data']})" if protocol.get("data") else ""
    drawn = ", drawn anew by each seed" if protocol.get("train_size") else ""
    noise = protocol.get("label_noise") or 0
    yield (
        f"Data set {protocol.get('dataset')}{source}: {counts.get('train')} training images"
        f"{drawn}, {counts.get('validation')} for validation, {counts.get('test')} for test, "
        f"{size}×{size} pixels, {protocol.get('classes')} classes."
    )
    if noise:
        yield (
            f"{significant(100 * noise)} % of the training labels are wrong: replaced by another "
            "class's, drawn by the seed. Train accuracy is measured with them; validation and test "
            "labels are as they are."
        )
    else:
        yield "Training labels are as they are: none were replaced."
    yield (
        f"Network {protocol.get('model')}, {protocol.get('train_epochs')} epochs of batches of "
        f"{protocol.get('batch_size')}, SGD with momentum {protocol.get('momentum')}, schedule "
        f"{protocol.get('schedule')} after a linear warm-up, precision "
        f"{protocol.get('precision')}."
    )
    yield (
        "The method is the variable: normalization, activation, join and start are its card's; all "
        "else is the same for all methods, except what is tuned."
    )
    yield (
        "Accuracy is measured in inference mode on images as they are, that of training too. Batch "
        "normalization takes the statistics of the whole batch in training, and moving averages at "
        "inference."
    )


def _tuning(tuning, seeds):
    low, high = (significant(rate) for rate in tuning["learning_rate"])
    decays = [significant(decay) for decay in tuning["weight_decay"]]
    shares = [significant(100 * share) for share in tuning["warmup_share"]]
    yield (
        f"Tuned for each method: the learning rate (from {low} to {high}, the peak of the run), "
        f"weight decay (from {decays[0]} to {decays[1]}) and warm-up (from {shares[0]} to "
        f"{shares[1]} % of the epochs)."
    )
    yield (
        f"Each method has the same number of trials, {tuning['trials']}, at the same points: those "
        f"of one low-discrepancy sequence. Then {tuning.get('rounds', 1)} × {tuning['extension']} "
        "more follow: beyond the lowest or the highest learning rate, if the best trial has that "
        "one, and else in the same range."
    )
    yield (
        "The trial with the best validation top-1 is chosen, of equal ones that with the lower "
        "validation loss; a diverged trial is never chosen while another finished. If its learning "
        "rate is still the lowest or the highest that was tried, that is flagged in the tables."
    )
    yield (
        f"Final trials have fresh seeds ({', '.join(seeds) or 'none so far'}), the same for every "
        "method, so that comparisons are paired: a seed sets the start, the order of images, and "
        "the draw of training images and wrong labels. The weights of the last epoch are scored; "
        "nothing is chosen on test."
    )
    yield (
        "Diverged trials are counted and not dropped: with the accuracy that their last weights "
        "have or, where that is not a number, with that of guessing. Crashed trials have no "
        "result; they are counted and listed."
    )


def _suites(protocol):
    if stability := protocol.get("stability"):
        yield (
            f"Stability: {stability['train_epochs']} epochs on {', '.join(stability['models'])} at "
            f"each of the learning rates {_listed(stability['learning_rates'])}, with neither "
            "weight decay nor warm-up."
        )
    if grid := protocol.get("regularization"):
        yield (
            f"Regularization: {', '.join(grid['methods'])} with dropout {_listed(grid['dropout'])} "
            f"times weight decay {_listed(grid['weight_decay'])}, at the learning rate and warm-up "
            "that the tuning chose."
        )
    if signal := protocol.get("signal"):
        yield (
            f"Signal: {signal['model']}, trained for {signal['train_epochs']} epochs at the "
            f"setting that the tuning chose for {protocol.get('model')}; measured in training mode "
            f"after {_listed(signal['epochs'])} epochs."
        )
    if cost := protocol.get("cost"):
        yield (
            f"Cost: training steps of {cost['model']} with batches of {cost['batch_size']} images "
            f"of {cost['image_size']}×{cost['image_size']} pixels, {cost['rounds']} rounds; in "
            "each round the methods take turns in one process, with nothing beside them."
        )


def _listed(numbers):
    return ", ".join(map(significant, numbers))


def _statistics(protocol):
    tested = (protocol.get("images") or {}).get("test")
    grain = ""
    if tested:
        grain = f", which are {tested}, so that one is {significant(100 / tested)} points"
    yield (
        "Interquartile mean: the mean of the middle half of the seeds, with a stratified bootstrap "
        "interval (95 %)."
    )
    yield (
        "Differences to bn: mean of the differences, paired by seed, with Student's t interval "
        "(95 %). They decide the verdicts."
    )
    yield "Shares of unstable trials: Wilson's interval (95 %)."
    yield f"Intervals are of the spread over seeds, and not over other test images{grain}."


def _processes(trials):
    alike = {}
    for process in trials.processes:
        own = ("id", "time", "starting_seconds")
        shared = {key: value for key, value in process.items() if key not in own}
        alike.setdefault(json.dumps(shared, sort_keys=True), []).append(process)
    if not alike:
        return Paragraph("The log says of no process where it ran.")
    return Table(
        "Processes that ran trials, those that are alike together.",
        ("Command", "Commit", "Processes, first start (UTC)", "Machine", "Versions"),
        tuple(map(_process_row, alike.values())),
        style="wide",
    )


def _process_row(processes):
    first = processes[0]
    return (
        (Code(first.get("command") or MISSING),),
        first.get("commit") or "not of a checkout",
        f"{len(processes)}, {first.get('time')}",
        _pairs(first.get("machine")),
        f"{_pairs(first.get('versions'))}; backend {first.get('backend')}",
    )


def _pairs(known):
    return ", ".join(f"{key} {value}" for key, value in (known or {}).items())


def _crashes(trials, links):
    crashed = trials.select(status="crashed")
    if crashed.empty:
        return Paragraph("No trial crashed.")
    rows = tuple(
        (
            (Link(trial.id, links.row(trial.id)),),
            f"{trial.suite}, {trial.stage}: {trial.method} on {trial.model}, seed {trial.seed}",
            trial.error or "no error text",
        )
        for trial in crashed.itertuples()
    )
    caption = "Crashed trials. They have no result, and count nowhere else."
    return Table(caption, ("Trial", "What", "Error"), rows, style="wide")


def _time_spent(trials):
    spent = TimeSpent.from_table(trials)
    if not spent.total:
        return
    rows = tuple(
        (suite, *(f"{seconds[part]:.0f}" for part in PARTS))
        for suite, seconds in spent.suites.items()
    )
    caption = "Seconds of the trials, added up over processes."
    yield Table(caption, ("Suite", *map(str.capitalize, PARTS)), rows)
    yield Paragraph(
        f"{spent.training_share:.0%} of {spent.total:.0f} seconds went to training steps; "
        f"{spent.starting:.0f} to the start of processes. Building is making and compiling a "
        "network, and putting it at its start."
    )
