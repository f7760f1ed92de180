"""All trials, folded away by suite, stage, network and method."""

from keras_wn.study.analysis.accuracy import SPLITS
from keras_wn.study.report import numbers
from keras_wn.study.report.document import Paragraph, Section, TrialTable

_SETTINGS = (
    ("seed", "Seed"),
    ("learning_rate", "Learning rate"),
    ("weight_decay", "Weight decay"),
    ("warmup_epochs", "Warm-up, epochs"),
    ("dropout", "Dropout"),
    ("join", "Join"),
)
_COLUMNS = (
    "Trial",
    *(title for _, title in _SETTINGS),
    "Status",
    "Epochs",
    *(f"{split.capitalize()} top-1, %" for split in SPLITS),
    "Validation loss",
    "Steps, ms",
    "Seconds",
    "Process",
)


def section(context):
    """The lists that the numbers lead to.

    Args:
        context: `Context`.

    Returns:
        `Section`.
    """
    lead = Paragraph("Every number above leads to its trials here. The figures are the measured ones; – is none.")
    tables = [_table(context, *listed) for listed in context.groups.listed()]
    return Section("trials", "Trials", (lead, *tables) if tables else (Paragraph("There are none yet."),))


def _table(context, anchor, key, parts):
    suite, stage, model, method = key
    count = sum(map(len, parts.values()))
    rows = tuple((part, tuple((context.groups.row(t), _row(t)) for t in trials)) for part, trials in parts.items())
    return TrialTable(
        anchor, f"{suite}, {stage}: {method} on {model}, {numbers.counted(count, 'trial')}", _COLUMNS, rows
    )


def _row(trial):
    figures = [(trial.final.get(split) or {}).get("top1") for split in SPLITS]
    steps = " ".join(numbers.fixed(1000 * seconds, 0) for seconds in trial.step_seconds if seconds)
    return (
        trial.id,
        *(_setting(trial.spec.get(key)) for key, _ in _SETTINGS),
        trial.status + (f": {trial.error}" if trial.error else ""),
        numbers.significant(trial.epochs),
        *map(numbers.top1, figures),
        numbers.significant((trial.final.get("validation") or {}).get("loss")),
        steps or numbers.MISSING,
        numbers.significant(trial.seconds.get("total")),
        trial.process or numbers.MISSING,
    )


def _setting(value):
    if isinstance(value, int | str):
        return str(value)
    return numbers.significant(value, 4)
