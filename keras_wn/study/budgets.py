"""Sizes of the study: what `--budget` selects."""

from keras_wn.study.protocol import Protocol

# As the paper's authors trained: polynomial decay of power 2, momentum 0.9.
_RECIPE = {"schedule": "polynomial", "momentum": 0.9, "precision": "float32"}
_SEARCH = {
    "learning_rate": [0.005, 0.5],
    "weight_decay": [1e-5, 1e-2],
    "warmup_share": [0.0, 0.4],
    "rounds": 1,
}

_BUDGETS = {
    # Seconds: to see the command work.
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
    # Two cores: accuracy and stability in 15 minutes, everything in 45.
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


def names():
    """Names that `get` and `--budget` take."""
    return tuple(_BUDGETS)


def get(name):
    """The protocol of a budget.

    Args:
        name: One of `names()`.

    Returns:
        `Protocol`.

    Raises:
        ValueError: If there is no such budget.
    """
    if name not in _BUDGETS:
        raise ValueError(f"Unknown budget {name!r}. Allowed: {', '.join(names())}.")
    return _BUDGETS[name]
