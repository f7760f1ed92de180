"""Holds the conditions that all trials of a study share, and those that `--budget` selects.

The protocol is the first line of the log of a study. It is the whole plan, written down before the
first trial.
"""

import dataclasses
import json
from typing import Any

from keras_wn import models
from keras_wn.data.detect import AUGMENTATIONS, DATASETS
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

    dataset: str = flag(REQUIRED, "Data set; the budget's if not given.", DATASETS)
    data_dir: str | None = flag(REQUIRED, "Folder that holds the data set.")
    image_size: int = flag(
        REQUIRED,
        "Height and width of the images; the budget's if not given.",
        allowed=(lambda x: x >= 8, "8 or more"),
    )
    augment: str = flag(
        REQUIRED,
        "How training images are cropped and mirrored; the budget's if not given.",
        AUGMENTATIONS,
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
        allowed=(lambda x: x >= 2, "2 or more"),
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


# As the paper's authors trained: polynomial decay of power 2, momentum 0.9.
_RECIPE = {
    "schedule": "polynomial",
    "momentum": 0.9,
    "precision": "float32",
    "level": 0.05,
    "data_dir": None,
}
_SEARCH = {
    "settings": 24,
    "extension": 8,
    "seeds": 2,
    "weight_decay": [1e-5, 1e-2],
    "warmup_share": [0.0, 0.4],
}
# Each cell is a change of the tuned setting. The first field names its kind.
_CELLS = [
    *([["dropout", rate]] for rate in (0.2, 0.5)),
    *([["weight_decay", decay], ["decay_on", "v"]] for decay in (1e-3, 5e-3, 2e-2)),
    *([["weight_decay", decay], ["decay_on", "v_and_g"]] for decay in (5e-4, 2e-3, 1e-2)),
    *([["label_smoothing", share]] for share in (0.05, 0.1, 0.2)),
    *([["mixup", alpha]] for alpha in (0.1, 0.2, 1.0)),
    *([["noise", size]] for size in (16, 64, 256)),
]
_FAMILY = ["bn", "wn", "normprop", "wn_trelu"]


def _condition(models, methods=None, warmup_epochs=(0.0,), options=((),), **data):
    """A condition of the stability suite. Steps are 150 to 160 in each."""
    data = {"batch_size": 32, "train_size": 500, "train_epochs": 10} | data
    return {
        "models": list(models),
        "methods": methods,
        "warmup_epochs": list(warmup_epochs),
        "options": list(options),
        **data,
    }


_BUDGETS = {
    # This is to see the command work.
    "tiny": Protocol(
        dataset="digits",
        image_size=8,
        augment="standard",
        train_size=128,
        label_noise=0.1,
        model="cifar_resnet8",
        batch_size=32,
        train_epochs=3,
        seeds=4,
        margin=3.0,
        curve_points=3,
        tuning={**_SEARCH, "settings": 2, "extension": 1},
        regularization={
            "methods": ["wn"],
            "cells": [[["dropout", 0.5]], [["mixup", 0.2]]],
            "seeds": 1,
            "statistics_batches": [8],
            "statistics_seeds": 2,
        },
        stability={
            "seeds": 2,
            "lowest": 0.002,
            "conditions": [_condition(["cifar_resnet8"], train_size=128, train_epochs=2)],
        },
        work={
            "methods": ["bn", "wn"],
            "points": [[64, "cifar_resnet8", 3], [128, "cifar_resnet8", 3]],
            "factors": [1.0],
            "seeds": 2,
        },
        signal={"model": "cifar_resnet8", "train_epochs": 2, "seeds": 1, "epochs": [0, 2]},
        cost={
            "model": "cifar_resnet8",
            "image_size": 32,
            "batch_sizes": [32],
            "steps": 2,
            "rounds": 3,
        },
        **_RECIPE,
    ),
    # The default, on the digits that are always at hand. It decides what it can.
    "small": Protocol(
        dataset="digits",
        image_size=8,
        augment="standard",
        train_size=400,
        label_noise=0.1,
        model="cifar_resnet8",
        batch_size=32,
        train_epochs=30,
        seeds=12,
        margin=1.0,
        curve_points=4,
        tuning=_SEARCH,
        regularization={
            "methods": ["wn"],
            "cells": _CELLS,
            "seeds": 3,
            "statistics_batches": [8, 16, 64, 128, 256],
            "statistics_seeds": 6,
        },
        stability={
            "seeds": 6,
            "lowest": 0.002,
            "conditions": [_condition(["cifar_resnet8", "cifar_resnet20"], train_size=400)],
        },
        work={
            "methods": ["bn", "wn"],
            "points": [[100, "cifar_resnet8", 80], [200, "cifar_resnet8", 60]],
            "factors": [0.5, 1.0, 2.0],
            "seeds": 6,
        },
        signal={"model": "cifar_resnet20", "train_epochs": 10, "seeds": 3, "epochs": [0, 1, 4, 10]},
        cost={
            "model": "resnet50",
            "image_size": 64,
            "batch_sizes": [32],
            "steps": 1,
            "rounds": 20,
        },
        **_RECIPE,
    ),
    # The study of this project: all methods and suites, over hours on two cores.
    "fashion": Protocol(
        dataset="fashion_mnist",
        image_size=14,
        augment="standard",
        train_size=1000,
        label_noise=0.0,
        model="cifar_resnet8",
        batch_size=32,
        train_epochs=20,
        seeds=20,
        margin=0.5,
        curve_points=4,
        tuning=_SEARCH,
        regularization={
            "methods": ["wn"],
            "cells": _CELLS,
            "seeds": 5,
            "statistics_batches": [8, 16, 64, 128, 256],
            "statistics_seeds": 6,
        },
        stability={
            "seeds": 10,
            "lowest": 0.002,
            "conditions": [
                _condition(["cifar_resnet8", "cifar_resnet20"]),
                # The deepest network and the other conditions are for the methods of the claim, and
                # for the start that was made for deep networks.
                _condition(["cifar_resnet56"], [*_FAMILY, "wn_robust"]),
                _condition(["cifar_resnet56"], ["bn", "wn", "wn_robust"], [5.0]),
                # The card of wn starts branches at 0.1.
                _condition(["cifar_resnet56"], ["wn"], [0.0, 5.0], [[["branch_scale", 1.0]]]),
                _condition(
                    ["cifar_resnet8"], _FAMILY, batch_size=256, train_size=2000, train_epochs=22
                ),
            ],
        },
        work={
            "methods": ["bn", "wn"],
            "points": [
                [250, "cifar_resnet8", 40],
                [1000, "cifar_resnet8", 20],
                [4000, "cifar_resnet8", 10],
                [16000, "cifar_resnet8", 5],
                [1000, "cifar_resnet20", 20],
                [1000, "cifar_resnet32", 20],
            ],
            "factors": [0.5, 1.0, 2.0],
            "seeds": 8,
        },
        signal={"model": "cifar_resnet56", "train_epochs": 5, "seeds": 3, "epochs": [0, 1, 2, 5]},
        cost={
            "model": "resnet50",
            "image_size": 224,
            "batch_sizes": [8, 32],
            "steps": 1,
            "rounds": 20,
        },
        **_RECIPE,
    ),
    # The same on whole images and more of them, for one GPU, which trains many networks at once:
    # KERAS_BACKEND=jax, --data_dir=DIR.
    "fashion_gpu": Protocol(
        dataset="fashion_mnist",
        image_size=28,
        augment="standard",
        train_size=1000,
        label_noise=0.0,
        model="cifar_resnet8",
        batch_size=32,
        train_epochs=20,
        seeds=20,
        margin=0.5,
        curve_points=4,
        tuning=_SEARCH,
        regularization={
            "methods": ["wn"],
            "cells": _CELLS,
            "seeds": 5,
            "statistics_batches": [8, 16, 64, 128, 256],
            "statistics_seeds": 6,
        },
        stability={
            "seeds": 16,
            "lowest": 0.002,
            "side_by_side": True,
            "conditions": [_condition(["cifar_resnet8", "cifar_resnet20"])],
        },
        work={
            "methods": ["bn", "wn"],
            "points": [
                [1000, "cifar_resnet8", 20],
                [8000, "cifar_resnet8", 10],
                # All that validation leaves of 60,000.
                [55000, "cifar_resnet8", 5],
            ],
            "factors": [0.5, 1.0, 2.0],
            "seeds": 16,
        },
        signal={"model": "cifar_resnet56", "train_epochs": 5, "seeds": 3, "epochs": [0, 1, 2, 5]},
        cost={
            "model": "resnet50",
            "image_size": 224,
            "batch_sizes": [8, 32],
            "steps": 10,
            "rounds": 20,
        },
        **_RECIPE,
    ),
    # The paper's experiment, for machines with GPUs: --dataset=imagenet --data_dir=DIR.
    "paper": Protocol(
        dataset="imagenet",
        image_size=224,
        augment="paper",
        train_size=None,
        label_noise=0.0,
        model="resnet50",
        batch_size=256,
        train_epochs=100,
        seeds=3,
        margin=0.5,
        curve_points=20,
        # All settings for all epochs would take seven times as long.
        tuning={**_SEARCH, "rungs": [[4, 32], [12, 8], [40, 3]]},
        regularization={
            "methods": ["wn"],
            "cells": _CELLS[:8],
            "seeds": 1,
            "statistics_batches": [32, 64, 128],
            "statistics_seeds": 1,
        },
        stability={
            "seeds": 3,
            "lowest": 0.002,
            "conditions": [
                _condition(
                    ["resnet18", "resnet50", "resnet101"],
                    batch_size=256,
                    train_size=None,
                    train_epochs=2,
                )
            ],
        },
        work={"methods": [], "points": [], "factors": [], "seeds": 1},
        signal={"model": "resnet50", "train_epochs": 20, "seeds": 1, "epochs": [0, 1, 5, 20]},
        cost={
            "model": "resnet50",
            "image_size": 224,
            "batch_sizes": [32, 256],
            "steps": 10,
            "rounds": 20,
        },
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
