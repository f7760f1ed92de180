"""Suite stability."""

import collections

from keras_wn.study import statistics
from keras_wn.study.analysis.trial import learned_from
from keras_wn.study.report import numbers
from keras_wn.study.report.document import Figures, Paragraph, Section, Table
from keras_wn.study.report.figures import depth, rates
from keras_wn.study.report.sections.context import unmeasured

_CENSORED = {"at least": "≥ ", "below": "below the grid", None: ""}


def section(context):
    """Tables and plots of the stability suite.

    Args:
        context: `Context`.

    Returns:
        `Section`.
    """
    title = f"Stability ({context.answers('stability')})"
    found, classes = context.results.stability, context.results.log.classes
    if not found.sweeps:
        return Section("stability", title, (Paragraph(unmeasured("stability")),))
    figures = (*rates.panels(found, classes), *depth.panels(found))
    caption = (
        "Above, every trial by its learning rate; below, validation error, where lines join medians over seeds and an unstable "
        "trial counts as guessing (dotted). Last, the largest stable learning rate: geometric mean and range over seeds, hollow "
        "where a seed's is at an end of the grid."
    )
    blocks = [Paragraph(_words(classes)), _limits(context, found), Figures(caption, figures)]
    blocks += [_shares(context, found, model) for model in found.models]
    return Section("stability", title, tuple(blocks))


def _words(classes):
    return (
        "A trial is unstable if its loss became not finite (diverged), or if it finished with a validation top-1 below "
        f"{numbers.significant(100 * learned_from(classes))} % (did not learn; guessing gives {numbers.significant(100 / classes)} %). "
        "The largest stable learning rate of a "
        "seed is the one up to which the whole grid is stable; where the smallest one is unstable, it counts as one step of the "
        "grid below. Sensitivity is how far validation top-1 is below its best of the grid, on average over the grid, with "
        "guessing for unstable trials; of the seeds for which any rate is stable."
    )


def _limits(context, found):
    rows = []
    for (model, method), sweep in found.sweeps.items():
        cells = (
            numbers.interval(sweep.decades, lambda x: numbers.significant(10**x)),
            _by_seed(sweep.limits.values()),
            _sensitivity(sweep),
        )
        rows.append((f"{method}, {model}", *(context.groups.link(cell, sweep.trials) for cell in cells)))
    columns = ("Method, network", "Geometric mean [95 % interval]", "Seeds", "Sensitivity, points [95 % interval]")
    return Table("Largest stable learning rate, and sensitivity to the learning rate.", columns, tuple(rows))


def _by_seed(limits):
    rates = collections.Counter(_limit(limit) for limit in sorted(limits, key=lambda limit: limit.decades))
    return ", ".join(f"{count}× {text}" for text, count in rates.items()) or numbers.MISSING


def _limit(limit):
    text = _CENSORED[limit.censored]
    return text if limit.learning_rate is None else f"{text}{numbers.significant(limit.learning_rate)}"


def _sensitivity(sweep):
    without = len(sweep.limits) - (sweep.sensitivity.n if sweep.sensitivity else 0)
    text = numbers.points(sweep.sensitivity).replace("+", "")
    return f"{text} (no rate is stable for {numbers.counted(without, 'seed')})" if without else text


def _shares(context, found, model):
    sweeps = {method: sweep for (name, method), sweep in found.sweeps.items() if name == model}
    grid = [cell.learning_rate for cell in next(iter(sweeps.values())).cells]
    rows = [
        (method, *(context.groups.link(_share(cell), cell.trials) for cell in sweep.cells))
        for method, sweep in sweeps.items()
    ]
    columns = ("Method", *(f"at {numbers.significant(rate)}" for rate in grid))
    caption = (
        f"{model}: unstable trials by learning rate, of how many (diverged + did not learn) [95 % Wilson interval, %]."
    )
    return Table(caption, columns, tuple(rows))


def _share(cell):
    crashed = f", {cell.counts.crashed} crashed" if cell.counts.crashed else ""
    if cell.unstable is None:
        return f"{numbers.MISSING}{crashed}"
    count = f"{cell.diverged + cell.not_learned} of {cell.unstable.n}"
    kinds = f" ({cell.diverged} + {cell.not_learned})" if cell.unstable.value else ""
    return f"{count}{kinds} {_ends(cell.unstable)}{crashed}"


def _ends(share: statistics.Estimate):
    return f"[{numbers.fixed(100 * share.low, 0)}, {numbers.fixed(100 * share.high, 0)}]"
