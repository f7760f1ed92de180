"""Holds the protocols that `--budget` selects: how large the networks are, and how many trials."""

import dataclasses

from keras_wn import methods
from keras_wn.study.protocol import Protocol, Tuning
from keras_wn.study.questions import cost, ingredients, regularization, signal, stability, work

_SEARCH = Tuning(
    settings=24, extension=8, seeds=2, weight_decay=(1e-5, 1e-2), warmup_share=(0.0, 0.4)
)
# Each cell is a change of the tuned setting. The first field names its kind.
_CELLS = (
    *((("dropout", rate),) for rate in (0.2, 0.5)),
    *((("weight_decay", decay), ("decay_on", "v")) for decay in (1e-3, 5e-3, 2e-2)),
    *((("weight_decay", decay), ("decay_on", "v_and_g")) for decay in (5e-4, 2e-3, 1e-2)),
    *((("label_smoothing", share),) for share in (0.05, 0.1, 0.2)),
    *((("mixup", alpha),) for alpha in (0.1, 0.2, 1.0)),
    *((("noise", size),) for size in (16, 64, 256)),
)
_FAMILY = ("bn", *methods.FAMILY)


def _condition(models, methods=None, warmup_epochs=(0.0,), options=((),), **data):
    """A condition of the stability suite. Steps are 150 to 160 in each."""
    data = {"batch_size": 32, "train_size": 500, "train_epochs": 10} | data
    return stability.Condition(models, methods, warmup_epochs, options, **data)


# The study of this project: all methods and suites, over hours on two cores.
_FASHION = Protocol(
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
    questions=(
        regularization.Settings(
            methods=("wn",),
            cells=_CELLS,
            seeds=5,
            statistics_batches=(8, 16, 64, 128, 256),
            statistics_seeds=6,
        ),
        stability.Settings(
            seeds=10,
            lowest=0.002,
            conditions=(
                _condition(("cifar_resnet8", "cifar_resnet20")),
                # The deepest network and the other conditions are for the methods of the claim, and
                # for the start that was made for deep networks.
                _condition(("cifar_resnet56",), (*_FAMILY, "wn_robust")),
                _condition(("cifar_resnet56",), ("bn", "wn", "wn_robust"), (5.0,)),
                # The card of wn starts branches at 0.1.
                _condition(("cifar_resnet56",), ("wn",), (0.0, 5.0), ((("branch_scale", 1.0),),)),
                _condition(
                    ("cifar_resnet8",), _FAMILY, batch_size=256, train_size=2000, train_epochs=22
                ),
            ),
        ),
        work.Settings(
            methods=("bn", "wn"),
            points=(
                (250, "cifar_resnet8", 40),
                (1000, "cifar_resnet8", 20),
                (4000, "cifar_resnet8", 10),
                (16000, "cifar_resnet8", 5),
                (1000, "cifar_resnet20", 20),
                (1000, "cifar_resnet32", 20),
            ),
            factors=(0.5, 1.0, 2.0),
            seeds=8,
        ),
        signal.Settings(model="cifar_resnet56", train_epochs=5, seeds=3, epochs=(0, 1, 2, 5)),
        cost.Settings(
            model="resnet50",
            image_size=224,
            batch_sizes=(8, 32),
            steps=1,
            rounds=20,
        ),
        ingredients.Settings(),
    ),
    # As the paper's authors trained: polynomial decay of power 2, momentum 0.9.
    schedule="polynomial",
    momentum=0.9,
    precision="float32",
    level=0.05,
    data_dir=None,
)


def _altered(protocol, **settings):
    """The settings of questions of a protocol, each with some values of its own."""
    return (dataclasses.replace(protocol.of(name), **values) for name, values in settings.items())


_SMALL = _FASHION.changed(
    *_altered(
        _FASHION,
        regularization={"seeds": 3},
        stability={
            "seeds": 6,
            "conditions": (_condition(("cifar_resnet8", "cifar_resnet20"), train_size=400),),
        },
        work={
            "points": ((100, "cifar_resnet8", 80), (200, "cifar_resnet8", 60)),
            "seeds": 6,
        },
        signal={"model": "cifar_resnet20", "train_epochs": 10, "epochs": (0, 1, 4, 10)},
        cost={"image_size": 64, "batch_sizes": (32,)},
    ),
    dataset="digits",
    image_size=8,
    train_size=400,
    label_noise=0.1,
    train_epochs=30,
    seeds=12,
    margin=1.0,
)

_BUDGETS = {
    # This is to see the command work.
    "tiny": _SMALL.changed(
        *_altered(
            _SMALL,
            regularization={
                "cells": ((("dropout", 0.5),), (("mixup", 0.2),)),
                "seeds": 1,
                "statistics_batches": (8,),
                "statistics_seeds": 2,
            },
            stability={
                "seeds": 2,
                "conditions": (_condition(("cifar_resnet8",), train_size=128, train_epochs=2),),
            },
            work={
                "points": ((64, "cifar_resnet8", 3), (128, "cifar_resnet8", 3)),
                "factors": (1.0,),
                "seeds": 2,
            },
            signal={"model": "cifar_resnet8", "train_epochs": 2, "seeds": 1, "epochs": (0, 2)},
            cost={"model": "cifar_resnet8", "image_size": 32, "steps": 2, "rounds": 3},
            ingredients={"rates": (0.072,), "seeds": 2},
        ),
        train_size=128,
        train_epochs=3,
        seeds=4,
        margin=3.0,
        curve_points=3,
        tuning=dataclasses.replace(_SEARCH, settings=2, extension=1),
    ),
    # The default, on the digits that are always at hand. It decides what it can.
    "small": _SMALL,
    "fashion": _FASHION,
    # The same on whole images and more of them, for one GPU, which trains many networks at once:
    # KERAS_BACKEND=jax, --data_dir=DIR.
    "fashion_gpu": _FASHION.changed(
        *_altered(
            _FASHION,
            stability={
                "seeds": 16,
                "side_by_side": True,
                "conditions": (_condition(("cifar_resnet8", "cifar_resnet20")),),
            },
            work={
                "points": (
                    (1000, "cifar_resnet8", 20),
                    (8000, "cifar_resnet8", 10),
                    # All that validation leaves of 60,000.
                    (55000, "cifar_resnet8", 5),
                ),
                "seeds": 16,
            },
            cost={"steps": 10},
        ),
        image_size=28,
    ),
    # The paper's experiment, for machines with GPUs: --dataset=imagenet --data_dir=DIR.
    "paper": _FASHION.changed(
        *_altered(
            _FASHION,
            regularization={
                "cells": _CELLS[:8],
                "seeds": 1,
                "statistics_batches": (32, 64, 128),
                "statistics_seeds": 1,
            },
            stability={
                "seeds": 3,
                "conditions": (
                    _condition(
                        ("resnet18", "resnet50", "resnet101"),
                        batch_size=256,
                        train_size=None,
                        train_epochs=2,
                    ),
                ),
            },
            work={"methods": (), "points": (), "factors": (), "seeds": 1},
            signal={"model": "resnet50", "train_epochs": 20, "seeds": 1, "epochs": (0, 1, 5, 20)},
            cost={"batch_sizes": (32, 256), "steps": 10},
        ),
        dataset="imagenet",
        image_size=224,
        augment="paper",
        train_size=None,
        model="resnet50",
        batch_size=256,
        train_epochs=100,
        seeds=3,
        curve_points=20,
        # All settings for all epochs would take seven times as long.
        tuning=dataclasses.replace(_SEARCH, rungs=((4, 32), (12, 8), (40, 3))),
        precision="mixed_bfloat16",
    ),
}


def names() -> tuple[str, ...]:
    """Names that `get` and `--budget` take."""
    return tuple(_BUDGETS)


def get(name: str) -> Protocol:
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
