"""Suite signal."""

from keras_wn.study.analysis.signal import FACTOR
from keras_wn.study.report import numbers
from keras_wn.study.report.document import Figures, Paragraph, Section, Table
from keras_wn.study.report.figures import signal
from keras_wn.study.report.sections.context import endings, unmeasured


def section(context):
    """Tables and plots of the signal suite.

    Args:
        context: `Context`.

    Returns:
        `Section`.
    """
    title, found = "Signal by depth (a cause of C6)", context.results.signal
    if not found:
        return Section("signal", title, (Paragraph(unmeasured("signal")),))
    panels = tuple(signal.panels(found))
    caption = "Variance of each block's output and norm of the loss's gradient with respect to it: medians over seeds."
    blocks = [
        Paragraph(_words()),
        _drift(context, found),
        *([Figures(caption, panels)] if panels else []),
        _ratios(context, found),
    ]
    return Section("signal", title, tuple(blocks))


def _words():
    return (
        "The paper is reported to have seen output norms that stay similar over depth for the first epochs, then blow up in the last "
        "layers and vanish in the first (seminar notes on the paper, berkeley-deep-learning/cs294-131-f17; read second-hand). Here a "
        f"variance that is {FACTOR:g} times as large or as small counts as changed, which is our choice; the numbers are of seeds, and no "
        "verdict is made of them."
    )


def _drift(context, found):
    rows = []
    for method, result in found.items():
        drift = result.drift
        cells = [
            endings(result.counts),
            *(f"{count} of {drift.n}" for count in (drift.preserved, drift.blown_up, drift.vanished)),
        ]
        rows.append((method, *(context.groups.link(cell, result.trials) for cell in cells)))
    columns = (
        "Method",
        "Seeds",
        "At the start: last block as the first",
        "Later: last block grew",
        "Later: first block fell",
    )
    caption = f"Seeds whose variance changed by a factor of {FACTOR:g} or more, of those that were measured at the start and later."
    return Table(caption, columns, tuple(rows))


def _ratios(context, found):
    epochs = sorted({profile.epoch for result in found.values() for profile in result.profiles})
    rows = []
    for method, result in found.items():
        by_epoch = {profile.epoch: profile for profile in result.profiles}
        cells = [_ratio(by_epoch.get(epoch)) for epoch in epochs]
        rows.append((method, *(context.groups.link(cell, result.trials) for cell in cells)))
    columns = ("Method", *map(numbers.after, epochs))
    return Table(
        "Variance of the last block divided by that of the first: median over seeds (their number).",
        columns,
        tuple(rows),
    )


def _ratio(profile):
    return numbers.MISSING if profile is None else f"{numbers.significant(profile.ratio)} ({profile.n})"
