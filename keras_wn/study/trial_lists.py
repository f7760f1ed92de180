"""Lists all trials in the page, and links numbers to the trials that they come from."""

import re
from collections.abc import Iterable

import pandas as pd

from keras_wn.study import table
from keras_wn.study.blocks import Link, Paragraph, Section, TrialList
from keras_wn.study.formatting import MISSING, counted, fixed, significant, top1
from keras_wn.study.specs import SPLITS
from keras_wn.study.table import TrialTable

# The trials of a list agree in these fields.
_SHARED = ("suite", "stage", "model", "method", "batch_size", "train_size", "options")
_NUMBERS = (
    ("learning_rate", "Learning rate"),
    ("weight_decay", "Weight decay"),
    ("warmup_epochs", "Warm-up, epochs"),
)
_COLUMNS = (
    "Trial",
    "Seed",
    *(title for _, title in _NUMBERS),
    "Status",
    "Epochs",
    *(f"{split.capitalize()} top-1, %" for split in SPLITS),
    "Steps, ms",
    "Seconds",
    "Process",
)


class TrialLinks:
    """The places of all trials in the page.

    Args:
        trials: The table of the trials.
        suites: Names, in their order.
    """

    def __init__(self, trials: TrialTable, suites: Iterable[str]):
        suites = list(suites)
        self._lists = []
        self._anchors: dict[str, str] = {}
        frame = trials.frame.assign(train_size=trials.frame["train_size"].fillna(0))
        groups = frame.groupby(list(_SHARED), sort=False) if len(frame) else []
        for key, found in sorted(groups, key=lambda group: _place(suites, *group[0])):
            anchor = f"trials-{len(self._lists) + 1}"
            self._anchors |= dict.fromkeys(found["id"], anchor)
            self._lists.append(TrialList(anchor, _title(key, found), _COLUMNS, _rows(found)))

    def link(self, text: str, trials: Iterable[str]) -> Link | str:
        """Links a number to the list of its first trial; plain text if there are no trials."""
        anchors = [self._anchors[trial] for trial in trials if trial in self._anchors]
        return Link(text, anchors[0]) if anchors else text

    def section(self) -> Section:
        """Makes the section that lists all trials."""
        lead = (
            "Every number above leads to its trials here. The figures are the measured ones; "
            f"{MISSING} is none."
        )
        blocks = (Paragraph(lead), *self._lists)
        return Section("trials", "All trials", blocks, short="Trials")


def _place(suites, suite, stage, model, method, batch_size, train_size, options):
    # Tuning comes before final trials.
    return (
        suites.index(suite) if suite in suites else len(suites),
        stage not in ("tune", "plain", "grid"),
        stage,
        table.depth(model),
        table.method_place(method),
        batch_size,
        train_size,
        str(options),
    )


def _title(key, found: pd.DataFrame):
    suite, stage, model, method, batch_size, train_size, options = key
    words = [f"batch of {batch_size}"]
    if train_size:
        words.append(f"{train_size:,.0f} images")
    words += [f"{name.replace('_', ' ')} {value}" for name, value in options]
    added = ", exploratory" if found["exploratory"].any() else ""
    return (
        f"{suite}, {stage}: {method} on {model}, {', '.join(words)}{added}: "
        f"{counted(len(found), 'trial')}"
    )


def row_of(trial: str) -> str:
    """The anchor of a trial's row."""
    return "trial-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", trial)


def _rows(found):
    return tuple((row_of(trial.id), _entries(trial)) for trial in found.itertuples())


def _entries(trial):
    steps = " ".join(fixed(1000 * seconds, 0) for seconds in trial.step_seconds if seconds)
    seconds = sum(getattr(trial, f"{part}_seconds") for part in table.SECONDS)
    return (
        trial.id,
        re.sub(r"\D", "", str(trial.seed)),
        *(significant(getattr(trial, key), 4) for key, _ in _NUMBERS),
        trial.status + (f": {trial.error}" if trial.error else ""),
        significant(trial.epochs),
        *(top1(getattr(trial, split)) for split in SPLITS),
        steps or MISSING,
        significant(seconds),
        trial.process or MISSING,
    )
