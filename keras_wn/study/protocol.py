"""Holds the conditions that all trials of a study share, and those that `--budget` selects.

The protocol is the first line of the log of a study.
"""

import dataclasses
import json
from typing import Any

from keras_wn import models
from keras_wn.data.detect import DATASETS
from keras_wn.training import flag_fields, schedules
from keras_wn.training.config import PRECISIONS
from keras_wn.training.flag_fields import REQUIRED, SHARE, flag

VERSION = 1


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The conditions of every trial of a study, whatever its method.

    The fields that are made by `flag` are those that a flag of the runner can change.

    Attributes:
        train_size: Training images, drawn anew by each seed. None for all.
        label_noise: Share of the training labels that another class's label replaces, drawn by the
            seed.
        momentum: As `TrainConfig`'s.
        target_top1: Validation top-1 whose first epoch is reported.
        curve_points: Epochs, evenly spaced, at which final trials are measured.
        tuning: Dict: `trials` a method, `extension` trials in each of `rounds` more rounds, ranges
            of `learning_rate` (peak of the run), `weight_decay` and `warmup_share` (of the epochs).
        stability: Dict: `learning_rates`, `models` from the shallowest to the deepest,
            `train_epochs`.
        regularization: Dict: `methods`, grids of `dropout` and `weight_decay`.
        signal: Dict: `model`, `train_epochs`, and `epochs`, after which the signal is measured.
        cost: Dict: `model`, `image_size`, `batch_size`, `steps` a round, `rounds`.
    """

    dataset: str = flag(REQUIRED, "Data set; the budget's if not given.", DATASETS)
    data_dir: str | None = flag(REQUIRED, "Folder that holds the data set.")
    image_size: int = flag(
        REQUIRED,
        "Height and width of the images; the budget's if not given.",
        allowed=(lambda x: x >= 8, "8 or more"),
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
    target_top1: float
    curve_points: int
    tuning: dict
    stability: dict
    regularization: dict
    signal: dict
    cost: dict

    def check(self) -> None:
        """Raises `UsageError` for the first value that is not allowed."""
        flag_fields.check_choices(self)
        flag_fields.check_ranges(self)

    def record(self, data: dict[str, Any]) -> dict[str, Any]:
        """The first record of the log.

        Args:
            data: Dict of the counts of images and classes, `Trials.data`.
        """
        # Tuples become lists, as when the record is read again.
        return json.loads(
            json.dumps({"kind": "protocol", "version": VERSION, **data, **dataclasses.asdict(self)})
        )


def differences(logged: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """The differences between two records of protocols, each as `key: there X, asked Y`.

    Example:

    >>> old, new = ({"model": "a", "tuning": {"trials": count}} for count in (8, 4))
    >>> differences(old, new)
    ['tuning.trials: there 8, asked 4']
    """
    found = []
    for key in sorted({*logged, *asked}):
        old, new = logged.get(key), asked.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += [f"{key}.{text}" for text in differences(old, new)]
        # The same data may lie elsewhere on another machine.
        elif old != new and key != "data_dir":
            found.append(f"{key}: there {old}, asked {new}")
    return found


# As the paper's authors trained: polynomial decay of power 2, momentum 0.9.
_RECIPE = {"schedule": "polynomial", "momentum": 0.9, "precision": "float32"}
_SEARCH = {
    "learning_rate": [0.005, 0.5],
    "weight_decay": [1e-5, 1e-2],
    "warmup_share": [0.0, 0.4],
    "rounds": 1,
}

_BUDGETS = {
    # This takes seconds, to see the command work.
    "tiny": Protocol(
        dataset="digits",
        data_dir=None,
        image_size=8,
        train_size=128,
        label_noise=0.1,
        model="cifar_resnet8",
        batch_size=32,
        train_epochs=3,
        target_top1=0.5,
        curve_points=3,
        tuning={"trials": 2, "extension": 1, **_SEARCH},
        stability={"learning_rates": [0.02, 2.0], "models": ["cifar_resnet8"], "train_epochs": 2},
        regularization={"methods": ["wn"], "dropout": [0.0, 0.5], "weight_decay": [0.0]},
        signal={"model": "cifar_resnet8", "train_epochs": 2, "epochs": [0, 2]},
        cost={
            "model": "cifar_resnet8",
            "image_size": 32,
            "batch_size": 32,
            "steps": 2,
            "rounds": 3,
        },
        **_RECIPE,
    ),
    # On two cores, accuracy and stability take 15 minutes, and everything takes 45.
    "small": Protocol(
        dataset="digits",
        data_dir=None,
        image_size=8,
        train_size=500,
        label_noise=0.1,
        model="cifar_resnet8",
        batch_size=32,
        train_epochs=60,
        target_top1=0.9,
        curve_points=4,
        tuning={"trials": 8, "extension": 4, **_SEARCH},
        stability={
            "learning_rates": [0.02, 0.08, 0.32, 1.28, 5.12],
            "models": ["cifar_resnet8", "cifar_resnet20"],
            "train_epochs": 18,
        },
        regularization={
            "methods": ["wn", "wn_mobn"],
            "dropout": [0.0, 0.2, 0.5],
            "weight_decay": [0.0, 1e-3, 1e-2],
        },
        signal={"model": "cifar_resnet32", "train_epochs": 12, "epochs": [0, 1, 4, 12]},
        cost={"model": "resnet50", "image_size": 64, "batch_size": 32, "steps": 2, "rounds": 9},
        **_RECIPE,
    ),
    # The paper's experiment, for machines with GPUs: --dataset=imagenet --data_dir=DIR.
    "paper": Protocol(
        dataset="imagenet",
        data_dir=None,
        image_size=224,
        train_size=None,
        label_noise=0.0,
        model="resnet50",
        batch_size=256,
        train_epochs=100,
        target_top1=0.6,
        curve_points=20,
        tuning={"trials": 8, "extension": 4, **_SEARCH},
        stability={
            "learning_rates": [0.02, 0.08, 0.32, 1.28, 5.12],
            "models": ["resnet18", "resnet50", "resnet101"],
            "train_epochs": 2,
        },
        regularization={
            "methods": ["wn", "wn_mobn"],
            "dropout": [0.0, 0.2, 0.5],
            "weight_decay": [0.0, 1e-4, 5e-4],
        },
        signal={"model": "resnet50", "train_epochs": 20, "epochs": [0, 1, 5, 20]},
        cost={"model": "resnet50", "image_size": 224, "batch_size": 256, "steps": 10, "rounds": 9},
        **(_RECIPE | {"precision": "mixed_bfloat16"}),
    ),
}


def budgets() -> tuple[str, ...]:
    """Names that `for_budget` and `--budget` take."""
    return tuple(_BUDGETS)


def for_budget(name: str) -> Protocol:
    """The protocol of a budget.

    Args:
        name: One of `budgets()`.

    Returns:
        `Protocol`.

    Raises:
        ValueError: If there is no such budget.
    """
    if name not in _BUDGETS:
        raise ValueError(f"Unknown budget {name!r}. Allowed: {', '.join(budgets())}.")
    return _BUDGETS[name]
