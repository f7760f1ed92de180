"""Where the page lists each trial, so that numbers can lead there."""

import itertools
import re

from keras_wn.study.analysis import methods
from keras_wn.study.analysis.stability import depth
from keras_wn.study.report.document import Link

_SUITES = ("accuracy", "stability", "regularization", "signal", "cost")


class Groups:
    """The trials of a log by suite, stage, network and method; within these, by what the suite varies.

    Args:
        log: `TrialLog`.
    """

    def __init__(self, log):
        self._anchors = set()
        self._groups = {}
        self._parts = {}
        self._rows = {}
        by_key = {key: list(trials) for key, trials in itertools.groupby(log.trials, _group)}
        for key in sorted(by_key, key=_order):
            group = self._new("-".join(("trials", *key)))
            self._groups[group] = (key, {})
            for part, inner in itertools.groupby(by_key[key], _part):
                self._add(group, part, list(inner))

    def _add(self, group, part, trials):
        anchor = self._new("-".join((group, *map(str, part)))) if part else group
        self._groups[group][1][anchor] = trials
        for trial in trials:
            self._parts[trial.id] = (group, anchor)
            self._rows[trial.id] = self._new(f"trial-{trial.id}")

    def _new(self, text):
        anchor = slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", text)
        numbers = itertools.count(2)
        while anchor in self._anchors:
            anchor = f"{slug}-{next(numbers)}"
        self._anchors.add(anchor)
        return anchor

    def listed(self):
        """Yields each group's anchor, its key (suite, stage, network, method), and a dict from anchor to trials of a part."""
        for anchor, (key, parts) in self._groups.items():
            yield anchor, key, parts

    def row(self, trial):
        """Anchor of a trial's row."""
        return self._rows[trial.id]

    def link(self, text, trials):
        """Text that leads to trials of one group, or to the part that holds all of them; without trials, the text.

        Args:
            text: Text.
            trials: Trials, or their ids.
        """
        places = self._places(trials)
        if not places:
            return text
        anchor = places[0][1] if len({part for _, part in places}) == 1 else places[0][0]
        return Link(text, anchor, is_number=True)

    def links(self, ids):
        """A `Link` for each group that these trials are of, named by its method."""
        groups = dict.fromkeys(group for group, _ in self._places(ids))
        texts = [self._groups[group][0] for group in groups]
        methods = [method for *_, method in texts]
        for group, key in zip(groups, texts, strict=True):
            # The method tells groups apart, or else the network does.
            yield Link(key[3] if methods.count(key[3]) == 1 else f"{key[3]} on {key[2]}", group)

    def _places(self, trials):
        return [self._parts[trial if isinstance(trial, str) else trial.id] for trial in trials]


def _group(trial):
    return tuple(str(trial.spec[key]) for key in ("suite", "stage", "model", "method"))


def _order(key):
    suite, stage, model, method = key
    # Tuning comes before final trials.
    return (
        _SUITES.index(suite) if suite in _SUITES else len(_SUITES),
        stage != "tune",
        depth(model),
        methods.place(method),
    )


def _part(trial):
    varied = {"stability": ("learning_rate",), "regularization": ("dropout", "weight_decay")}
    return tuple(trial.spec.get(key) for key in varied.get(trial.spec["suite"], ()))
