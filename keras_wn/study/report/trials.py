"""Lists all trials in the page, and links numbers to the trials that they come from."""

import itertools
import re
from collections.abc import Iterable, Iterator

import pandas as pd

from keras_wn.study import table
from keras_wn.study.formatting import MISSING, counted, fixed, significant, top1
from keras_wn.study.report.blocks import Link, Paragraph, Section, TrialList
from keras_wn.study.stability import depth
from keras_wn.study.table import SPLITS, TrialTable

_SUITES = ("accuracy", "stability", "regularization", "signal", "cost")
# The settings that a suite varies. The trials of one setting are one part of a list.
_VARIED = {"stability": ["learning_rate"], "regularization": ["dropout", "weight_decay"]}

_NUMBERS = (
    ("learning_rate", "Learning rate"),
    ("weight_decay", "Weight decay"),
    ("warmup_epochs", "Warm-up, epochs"),
    ("dropout", "Dropout"),
)
_COLUMNS = (
    "Trial",
    "Seed",
    *(title for _, title in _NUMBERS),
    "Join",
    "Status",
    "Epochs",
    *(f"{split.capitalize()} top-1, %" for split in SPLITS),
    "Validation loss",
    "Steps, ms",
    "Seconds",
    "Process",
)


class TrialLinks:
    """The places of all trials in the page.

    The trials are grouped by suite, stage, network and method, and within a group by the setting
    that the suite varies. Each group, part and trial has an anchor.

    Args:
        trials: The table of the trials.
    """

    def __init__(self, trials: TrialTable):
        self._anchors = set()
        # From a group's anchor to its key and to its parts, which are frames by anchor.
        self._groups = {}
        # From a trial's id to the anchors of its group and part, and to that of its row.
        self._places = {}
        self._rows = {}
        groups = trials.frame.groupby(["suite", "stage", "model", "method"], sort=False)
        for key, found in sorted(groups, key=lambda group: _place_of_group(*group[0])):
            anchor = self._new_anchor("-".join(("trials", *key)))
            self._groups[anchor] = (key, {})
            varied = _VARIED.get(key[0])
            parts = found.groupby(varied, sort=False, dropna=False) if varied else [((), found)]
            for setting, part in parts:
                self._add(anchor, setting, part)

    def _add(self, group, setting, trials):
        anchor = self._new_anchor("-".join((group, *map(str, setting)))) if setting else group
        self._groups[group][1][anchor] = trials
        for trial in trials["id"]:
            self._places[trial] = (group, anchor)
            self._rows[trial] = self._new_anchor(f"trial-{trial}")

    def _new_anchor(self, text):
        anchor = slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)
        numbers = itertools.count(2)
        while anchor in self._anchors:
            anchor = f"{slug}-{next(numbers)}"
        self._anchors.add(anchor)
        return anchor

    def row(self, trial: str) -> str:
        """Returns the anchor of a trial's row."""
        return self._rows[trial]

    def link(self, text: str, trials: Iterable[str]) -> Link | str:
        """Links a number to its trials, which are of one group.

        Args:
            text: The number.
            trials: The ids of its trials.

        Returns:
            A link to the part that holds all of the trials, or else to their group; the text if
            there are no trials.
        """
        places = [self._places[trial] for trial in trials]
        if not places:
            return text
        parts = {part for _, part in places}
        return Link(text, places[0][1] if len(parts) == 1 else places[0][0], is_number=True)

    def link_row(self, name: str, cells: Iterable[str], trials: pd.DataFrame) -> tuple:
        """Makes a table's row, whose cells all link to the same trials."""
        return (name, *(self.link(cell, trials["id"]) for cell in cells))

    def link_groups(self, trials: Iterable[str]) -> list[Link]:
        """Links to each group that these trials are of, named by its method."""
        groups = dict.fromkeys(self._places[trial][0] for trial in trials)
        keys = [self._groups[group][0] for group in groups]
        methods = [method for *_, method in keys]
        # If several groups are of one method, the network tells them apart.
        return [
            Link(method if methods.count(method) == 1 else f"{method} on {model}", group)
            for group, (_, _, model, method) in zip(groups, keys, strict=True)
        ]

    def section(self) -> Section:
        """Makes the section that lists all trials."""
        if not self._groups:
            return Section("trials", "Trials", (Paragraph("There are none yet."),))
        lead = "Every number above leads to its trials here. The figures are the measured ones; "
        return Section("trials", "Trials", (Paragraph(f"{lead}{MISSING} is none."), *self._lists()))

    def _lists(self) -> Iterator[TrialList]:
        for anchor, ((suite, stage, model, method), parts) in self._groups.items():
            count = counted(sum(map(len, parts.values())), "trial")
            rows = tuple(
                (part, tuple((self._rows[t.id], _cells(t)) for t in trials.itertuples()))
                for part, trials in parts.items()
            )
            yield TrialList(
                anchor, f"{suite}, {stage}: {method} on {model}, {count}", _COLUMNS, rows
            )


def _place_of_group(suite, stage, model, method):
    place = _SUITES.index(suite) if suite in _SUITES else len(_SUITES)
    # Tuning comes before final trials.
    return (place, stage != "tune", depth(model), table.method_place(method))


def _cells(trial):
    steps = " ".join(fixed(1000 * seconds, 0) for seconds in trial.step_seconds if seconds)
    return (
        trial.id,
        str(trial.seed),
        *(significant(getattr(trial, key), 4) for key, _ in _NUMBERS),
        trial.join if isinstance(trial.join, str) else MISSING,
        trial.status + (f": {trial.error}" if trial.error else ""),
        significant(trial.epochs),
        *(top1(getattr(trial, f"measured_{split}")) for split in SPLITS),
        significant(trial.validation_loss),
        steps or MISSING,
        significant(trial.total_seconds),
        trial.process or MISSING,
    )
