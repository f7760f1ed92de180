"""Plans the trials of each suite, as far as the trials that are done tell.

A suite is a function of a `Request` and of the trials that are done. It returns the specifications
of all its trials that are known by now. Each search is the same for every method, and a setting
that is chosen depends on the validation split alone.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_wn import methods
from keras_wn.study import search
from keras_wn.study.protocol import Protocol
from keras_wn.study.search import Choice, Setting

# The trials that are done: their records by identity.
Done = dict[str, dict[str, Any]]
SPLITS = ("train", "validation", "test")
# Regularization is measured against this method.
_NORMALIZED = "bn"
# The cost of a step is measured against this method, at a rate that keeps the weights finite.
_UNNORMALIZED = "none"
_COST_SETTING = Setting(learning_rate=1e-4, weight_decay=1e-4, warmup_share=0.0)


@dataclasses.dataclass(frozen=True)
class TrialSpec:
    """Everything that a trial's result depends on, beside the protocol.

    Attributes:
        suite: The suite that planned it.
        stage: Its part in the suite.
        method, model, join: Names.
        seed: Seed of the initial weights, the data order, dropout, and the draw of training images
            and wrong labels.
        train_epochs: Positive integer.
        learning_rate: The highest learning rate.
        weight_decay, warmup_epochs, dropout: Floats.
        number: Place in the sequence of the search. None outside of a search.
        round: Round of the search, 0 for the first. None outside of a search.
        chosen_from: Identity of the trial of the search whose setting it takes. None if no search
            chose the setting.
        edge: Whether that setting lies at the edge of the range that was searched. None if no
            search chose it.
        splits: Names of the splits that are measured at the end.
        curve_epochs: Epochs after which these splits are measured as well.
        signal_epochs: Epochs after which the signal by block is measured.
        beside: Methods that are timed in turns with it, its own among them. Empty but for the cost
            suite.
    """

    suite: str
    stage: str
    method: str
    model: str
    join: str
    seed: int
    train_epochs: int
    learning_rate: float
    weight_decay: float
    warmup_epochs: float
    dropout: float = 0.0
    number: int | None = None
    round: int | None = None
    chosen_from: str | None = None
    edge: bool | None = None
    splits: tuple[str, ...] = ("train", "validation")
    curve_epochs: tuple[int, ...] = ()
    signal_epochs: tuple[int, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Twelve characters that tell it from all other trials of a protocol."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def network(self) -> tuple[str, str, str, float]:
        """Trials that agree in these values can share one compiled step."""
        return self.method, self.model, self.join, self.dropout

    @property
    def alone(self) -> bool:
        """Whether nothing else may run on the machine meanwhile."""
        return bool(self.beside)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "TrialSpec":
        """The specification that a record of the log holds."""
        lists = {key: tuple(value) for key, value in record.items() if isinstance(value, list)}
        return cls(**{**record, **lists})


def empty_record(spec: TrialSpec) -> dict[str, Any]:
    """The record of a trial that has no results yet."""
    return {
        "kind": "trial",
        "id": spec.id,
        "spec": dataclasses.asdict(spec),
        "status": "crashed",
        "error": None,
        "epochs": 0,
        "final": {},
        "curves": {},
        "signal": [],
        "step_seconds": [],
        "seconds": {},
    }


@dataclasses.dataclass(frozen=True)
class Request:
    """The comparison that the user asked for.

    Attributes:
        protocol: `Protocol`.
        methods: Names.
        seeds: Number of final trials of each method.
    """

    protocol: Protocol
    methods: tuple[str, ...]
    seeds: int

    def spec(
        self,
        suite: str,
        stage: str,
        method: str,
        setting: Setting,
        seed: int,
        model: str | None = None,
        train_epochs: int | None = None,
        **options: Any,
    ) -> TrialSpec:
        """The specification of a trial. The model and the epochs are the protocol's if None."""
        epochs = train_epochs or self.protocol.train_epochs
        return TrialSpec(
            suite=suite,
            stage=stage,
            method=method,
            model=model or self.protocol.model,
            join=methods.get(method).join,
            seed=seed,
            train_epochs=epochs,
            learning_rate=setting.learning_rate,
            weight_decay=setting.weight_decay,
            warmup_epochs=round(setting.warmup_share * epochs, 3),
            **options,
        )


def accuracy(request: Request, done: Done) -> list[TrialSpec]:
    """Claims C3 and C4: each method at its best setting, on training images and on new ones.

    Returns:
        The trials of the search and, for methods whose search is done, the final trials.
    """
    return [spec for method in request.methods for spec in _accuracy_of(method, request, done)]


def _accuracy_of(method, request, done):
    specs, choice = _search_of(method, request, done)
    if choice is None:
        return specs
    protocol = request.protocol
    # Evenly spaced epochs, of which the last is the end.
    points = np.linspace(0, protocol.train_epochs, protocol.curve_points + 1).round().astype(int)
    finals = [
        request.spec(
            "accuracy",
            "final",
            method,
            choice.setting,
            seed,
            splits=SPLITS,
            curve_epochs=tuple(sorted(set(points[1:].tolist()))),
            chosen_from=choice.trial,
            edge=choice.edge,
        )
        for seed in range(request.seeds)
    ]
    return specs + finals


def _search_of(method: str, request: Request, done: Done) -> tuple[list[TrialSpec], Choice | None]:
    """The trials of a method's search so far, and its choice, None before they are done."""
    tuning = request.protocol.tuning
    specs, rates = [], None
    for number in range(tuning["rounds"] + 1):
        count = tuning["extension"] if number else tuning["trials"]
        points = search.settings(tuning, len(specs), count, rates)
        specs += [
            request.spec(
                "accuracy",
                "tune",
                method,
                point,
                search.SEED,
                number=len(specs) + i,
                round=number,
                splits=("validation",),
            )
            for i, point in enumerate(points)
        ]
        records = [done.get(spec.id) for spec in specs]
        if None in records:
            return specs, None
        rates = search.extended(tuning, records)
    return specs, search.choose(records, request.protocol.train_epochs)


def stability(request: Request, done: Done) -> list[TrialSpec]:
    """Claim C6: every method, depth, learning rate and seed."""
    del done  # Nothing is chosen.
    grid = request.protocol.stability
    return [
        request.spec(
            "stability",
            "sweep",
            method,
            # Warm-up and decay would hide the effect of the rate.
            Setting(rate, weight_decay=0.0, warmup_share=0.0),
            seed,
            model=model,
            train_epochs=grid["train_epochs"],
            splits=("validation",),
        )
        for model in grid["models"]
        for method in request.methods
        for rate in grid["learning_rates"]
        for seed in range(request.seeds)
    ]


def regularization(request: Request, done: Done) -> list[TrialSpec]:
    """Claim C5: a grid of dropout and weight decay, at the learning rate that the search chose.

    The trials of batch normalization, which the grid is compared with, are planned as well.
    """
    grid = request.protocol.regularization
    specs = []
    for method in dict.fromkeys((_NORMALIZED, *grid["methods"])):
        specs += _accuracy_of(method, request, done)
    for method in grid["methods"]:
        _, choice = _search_of(method, request, done)
        if choice is None:
            continue
        specs += [
            request.spec(
                "regularization",
                "grid",
                method,
                dataclasses.replace(choice.setting, weight_decay=decay),
                seed,
                dropout=dropout,
                splits=SPLITS,
                chosen_from=choice.trial,
                edge=choice.edge,
            )
            for dropout in grid["dropout"]
            for decay in grid["weight_decay"]
            for seed in range(request.seeds)
        ]
    return specs


def signal(request: Request, done: Done) -> list[TrialSpec]:
    """Claim C6's cause: the signal through a deep network, at the start and as it trains."""
    asked = request.protocol.signal
    specs = []
    for method in request.methods:
        searches, choice = _search_of(method, request, done)
        specs += searches
        if choice is None:
            continue
        specs += [
            request.spec(
                "signal",
                "drift",
                method,
                choice.setting,
                seed,
                model=asked["model"],
                train_epochs=asked["train_epochs"],
                signal_epochs=tuple(asked["epochs"]),
                chosen_from=choice.trial,
                edge=choice.edge,
            )
            for seed in range(request.seeds)
        ]
    return specs


def cost(request: Request, done: Done) -> list[TrialSpec]:
    """Claims C1 and C2: a trial of each method, all timed in turns with nothing beside them."""
    del done  # Nothing is chosen.
    compared = tuple(dict.fromkeys((_UNNORMALIZED, *request.methods)))
    model = request.protocol.cost["model"]
    options = {"model": model, "train_epochs": 1, "splits": (), "beside": compared}
    return [
        request.spec("cost", "step", method, _COST_SETTING, seed=0, **options)
        for method in compared
    ]


SUITES: dict[str, Callable[[Request, Done], list[TrialSpec]]] = {
    "accuracy": accuracy,
    "stability": stability,
    "regularization": regularization,
    "signal": signal,
    "cost": cost,
}
