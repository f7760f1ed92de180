"""Holds the conditions that all trials of a study share.

The protocol is the first line of the log of a study. It is the whole plan, written down before the
first trial.
"""

import dataclasses
import json
from typing import Any

from keras_wn import models
from keras_wn.data import datasets
from keras_wn.training import flag_fields, schedules
from keras_wn.training.config import PRECISIONS
from keras_wn.training.flag_fields import REQUIRED, SHARE, flag

VERSION = 2


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
        tuning: Dict: `settings` a method, `extension` more beyond the edges, `seeds` of each, and
            the ranges of `weight_decay` and `warmup_share` (of the epochs). The range of the
            learning rate is that of the method's card. `rungs`, if present, are pairs of epochs
            and of the settings that are trained for them; all are trained for the first epochs.
        regularization: Dict: `methods`, `cells`, each a list of pairs of a field and its value,
            `seeds` to choose a cell by, `statistics_batches` of bn, and `statistics_seeds`.
        stability: Dict: `seeds`, `lowest` rate, and `conditions`, each a dict of `models`,
            `methods` (None for all), `warmup_epochs`, `options`, `batch_size`, `train_size` and
            `train_epochs`. `side_by_side`, if present, tells whether all seeds search at once.
        work: Dict: `methods`, `points`, each a list of training images, network and epochs,
            `factors` of the tuned learning rate that are tried, and `seeds`.
        signal: Dict: `model`, `train_epochs`, `seeds`, and `epochs`, after which the signal is
            measured.
        cost: Dict: `model`, `image_size`, `batch_sizes`, `steps` a round, `rounds`.
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
    curve_points: int
    tuning: dict
    regularization: dict
    stability: dict
    work: dict
    signal: dict
    cost: dict

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of final trials at which the study decides."""
        return tuple(sorted({(self.seeds + 1) // 2, self.seeds}))

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
        # Tuples become lists, as when the record is read again.
        return json.loads(
            json.dumps(
                {
                    "kind": "protocol",
                    "version": VERSION,
                    "planned": planned,
                    **data,
                    **dataclasses.asdict(self),
                }
            )
        )


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
