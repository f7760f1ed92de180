"""Holds the conditions that all trials of a study share.

The protocol is the first line of the log of a study. It is the whole plan, written down before the
first trial.
"""

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from keras_wn import models
from keras_wn.data import datasets
from keras_wn.study import fields
from keras_wn.study.fields import Count
from keras_wn.training import flag_fields, schedules
from keras_wn.training.config import PRECISIONS
from keras_wn.training.flag_fields import REQUIRED, SHARE, flag

VERSION = 2


@dataclasses.dataclass(frozen=True)
class Tuning:
    """The search that tunes each method, in the range of learning rates that its card has.

    Attributes:
        settings: Settings a method.
        extension: Settings more, beyond the edges at which the best one lies.
        seeds: Trials of each setting.
        weight_decay, warmup_share: Pairs of the lowest and the highest value. The warm-up is a
            share of the epochs.
        rungs: Pairs of epochs and of the number of settings that are trained for them. All settings
            are trained for the first epochs. None trains them for the protocol's epochs.
    """

    settings: Count
    extension: Count
    seeds: Count
    weight_decay: tuple[float, float]
    warmup_share: tuple[float, float]
    rungs: tuple[tuple[Count, Count], ...] | None = None


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The conditions of every trial of a study, whatever its method.

    The fields that are made by `flag` are those that a flag of the runner can change.

    Attributes:
        train_size: Training images, drawn anew by each seed. None for all.
        label_noise: Share of the training labels that another class's label replaces, drawn by the
            seed.
        momentum: As `TrainConfig`'s.
        margin: Difference in top-1, in points, below which two methods count as equal.
        level: Probability of a false decision on a claim, over all of its methods and looks.
        curve_points: Epochs, evenly spaced, at which final trials are measured.
        tuning: `Tuning`.
        questions: The settings of the questions that the protocol asks, one of each class.
    """

    dataset: str = flag(REQUIRED, "Data set; the budget's if not given.", datasets.NAMES)
    data_dir: str | None = flag(REQUIRED, "Folder that holds the data set.")
    image_size: int = flag(
        REQUIRED,
        "Height and width of the images; the budget's if not given.",
        allowed=(lambda x: x >= 8, "8 or more"),
    )
    augment: str = flag(
        REQUIRED,
        "How training images are cropped and mirrored; the budget's if not given.",
        datasets.AUGMENTATIONS,
    )
    train_size: int | None = flag(
        REQUIRED,
        "Training images, drawn by the seed; 0 for all, the budget's if not given.",
        allowed=(lambda x: x >= 1, "1 or more, or 0 for all"),
    )
    label_noise: float = flag(
        REQUIRED,
        "Share of training labels that are wrong; the budget's if not given.",
        allowed=SHARE,
    )
    model: str = flag(
        REQUIRED, "Network of the accuracy suite; the budget's if not given.", models.names
    )
    batch_size: int = flag(
        REQUIRED, "Batch size; the budget's if not given.", allowed=(lambda x: x >= 1, "1 or more")
    )
    train_epochs: int = flag(
        REQUIRED,
        "Epochs of the accuracy suite; the budget's if not given.",
        allowed=(lambda x: x >= 2, "2 or more"),
    )
    schedule: str = flag(
        REQUIRED, "Decay of the learning rate; the budget's if not given.", schedules.names
    )
    momentum: float
    precision: str = flag(REQUIRED, "Keras dtype policy; the budget's if not given.", PRECISIONS)
    seeds: int = flag(
        REQUIRED,
        "Final trials a method, of which the first look takes half; the budget's if not given.",
        allowed=(lambda x: 2 <= x <= 10_000, "2 to 10000"),
    )
    margin: float
    level: float
    curve_points: Count
    tuning: Tuning
    questions: tuple[Any, ...]

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of final trials at which the study decides."""
        return tuple(sorted({(self.seeds + 1) // 2, self.seeds}))

    def of(self, name: str) -> Any:
        """The settings of a question, given its name."""
        return next(settings for settings in self.questions if settings.name == name)

    def changed(self, *settings: Any, **changes: Any) -> "Protocol":
        """A protocol with these settings of questions, and with these values of other fields."""
        by_name = {own.name: own for own in (*self.questions, *settings)}
        return dataclasses.replace(self, questions=tuple(by_name.values()), **changes)

    def check(self) -> None:
        """Raises `UsageError` for the first value that is not allowed."""
        flag_fields.check_choices(self)
        flag_fields.check_ranges(self)

    def record(
        self,
        data: dict[str, Any],
        methods: tuple[str, ...],
        suites: tuple[str, ...],
        rules: dict[str, str],
    ) -> dict[str, Any]:
        """The first record of the log.

        Args:
            data: Dict of the counts of images and classes, `Trials.data`.
            methods, suites: Names of what is planned. Trials of others are exploratory.
            rules: The rules that decide the claims, in words.
        """
        planned = {"methods": methods, "suites": suites, "looks": self.looks, "rules": rules}
        first = {"kind": "protocol", "version": VERSION, "planned": planned, **data}
        return _as_json({**first, **self.values()})

    def values(self) -> dict[str, Any]:
        """The values of all fields, with the settings of each question under its name."""
        values = dataclasses.asdict(dataclasses.replace(self, questions=()))
        del values["questions"]
        return _as_json(values | {own.name: dataclasses.asdict(own) for own in self.questions})

    @classmethod
    def read(cls, record: dict[str, Any], kinds: Iterable[type]) -> "Protocol":
        """The protocol that the first record of a log holds.

        Args:
            record: The record, or what `values` returns.
            kinds: The classes of the settings of all questions.

        Raises:
            ValueError: For the first value that is not allowed, with its place.
        """
        own = {field.name: field for field in dataclasses.fields(cls) if field.name != "questions"}
        kinds = {kind.name: kind for kind in kinds}
        for name in own.keys() - record.keys():
            raise ValueError(f"{name} is missing")
        values = {name: fields.read(own[name].type, record[name], name) for name in own}
        questions = []
        for name, kind in kinds.items():
            # A question that came later has settings with defaults, which older logs lack.
            has_defaults = all(
                f.default is not dataclasses.MISSING for f in dataclasses.fields(kind)
            )
            if name not in record and not has_defaults:
                raise ValueError(f"{name} is missing")
            questions.append(fields.read(kind, record.get(name, {}), name))
        return cls(**values, questions=tuple(questions))


def _as_json(values):
    # Tuples become lists, as when a log is read again.
    return json.loads(json.dumps(values))


def differences(logged: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """The differences between two records of protocols, each as `key: there X, asked Y`.

    Example:

    >>> old, new = ({"model": "a", "tuning": {"settings": count}} for count in (8, 4))
    >>> differences(old, new)
    ['tuning.settings: there 8, asked 4']
    """
    found = []
    for key in sorted({*logged, *asked}):
        old, new = logged.get(key), asked.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            # Methods and suites may be added to the plan later, as exploratory ones.
            if key != "planned":
                found += [f"{key}.{text}" for text in differences(old, new)]
        # The same data may lie elsewhere on another machine.
        elif old != new and key != "data_dir":
            found.append(f"{key}: there {old}, asked {new}")
    return found
