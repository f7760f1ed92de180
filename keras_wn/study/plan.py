"""Specifies trials: all that the result of one depends on, and the record that it gives."""

import dataclasses
import functools
import hashlib
import json
from typing import Any

from keras_wn.study.protocol import Protocol
from keras_wn.study.search import Choice, Setting

# The trials that are done: their records by identity.
Done = dict[str, dict[str, Any]]
SPLITS = ("train", "validation", "test")
# All methods are compared with this one.
BASELINE = "bn"
# The cost of a step is measured against this method.
UNNORMALIZED = "none"


@dataclasses.dataclass(frozen=True)
class TrialSpec:
    """Everything that a trial's result depends on, beside the protocol.

    Attributes:
        suite: The suite that planned it.
        stage: Its part in the suite.
        method, model: Names.
        seed: Seed of the initial weights, the data order, dropout, and the draw of training images
            and wrong labels.
        train_size: Training images that the seed draws. None for all.
        batch_size: Positive integer.
        train_epochs: Positive integer.
        learning_rate: The highest learning rate.
        weight_decay, warmup_epochs: Floats.
        options: Pairs of a field of `TrainConfig` and its value, where it differs from the default.
        number: Place of the setting in the sequence of the search. None outside of a search.
        chosen_from: Identities of the trials whose setting it takes. Empty if no search chose it.
        edges: The tuned numbers that lie at an edge of what was searched.
        splits: Names of the splits that are measured at the end.
        keeps_correct: Whether the test images that are classified correctly are logged.
        curve_epochs: Epochs after which these splits are measured as well.
        signal_epochs: Epochs after which the signal by block is measured.
        beside: Methods that are timed in turns with it, its own among them. Empty but for the cost
            suite.
    """

    suite: str
    stage: str
    method: str
    model: str
    seed: int
    train_size: int | None
    batch_size: int
    train_epochs: int
    learning_rate: float
    weight_decay: float
    warmup_epochs: float
    options: tuple[tuple[str, Any], ...] = ()
    number: int | None = None
    chosen_from: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()
    splits: tuple[str, ...] = ("validation",)
    keeps_correct: bool = False
    curve_epochs: tuple[int, ...] = ()
    signal_epochs: tuple[int, ...] = ()
    beside: tuple[str, ...] = ()

    @functools.cached_property
    def id(self) -> str:
        """Twelve characters that tell it from all other trials of a protocol."""
        # `asdict` copies every value, which takes most of the time of planning.
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def network(self) -> tuple:
        """Trials that agree in these values can share one compiled step."""
        return self.method, self.model, self.batch_size, self.options

    @property
    def lane(self) -> tuple:
        """Trials that agree in these values can train side by side in one step."""
        return *self.network, self.train_size, self.train_epochs

    @property
    def together(self) -> tuple | None:
        """Trials that agree in this value are timed in turns, with nothing beside them."""
        return (self.batch_size, *self.beside) if self.beside else None

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "TrialSpec":
        """The specification that a record of the log holds."""
        return cls(**{key: as_tuple(value) for key, value in record.items()})


def as_tuple(value: Any) -> Any:
    """A value with tuples for its lists, which JSON made of them."""
    return tuple(map(as_tuple, value)) if isinstance(value, list) else value


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
        "correct": None,
        "effective_rate": None,
        "curves": {},
        "signal": [],
        "step_seconds": [],
        "seconds": {},
    }


def learned_from(classes: int) -> float:
    """The lowest top-1 that counts as learned.

    It is twice that of guessing. With two classes it is halfway from guessing to perfect.

    Example:

    >>> learned_from(classes=10), learned_from(classes=2)
    (0.2, 0.75)
    """
    return min(2 / classes, (1 + 1 / classes) / 2)


@dataclasses.dataclass(frozen=True)
class Request:
    """The comparison that the user asked for.

    Attributes:
        protocol: `Protocol`.
        methods: Names.
        classes: Number of classes of the data.
    """

    protocol: Protocol
    methods: tuple[str, ...]
    classes: int

    def spec(
        self,
        suite: str,
        stage: str,
        method: str,
        setting: Setting,
        seed: int,
        train_epochs: int | None = None,
        **options: Any,
    ) -> TrialSpec:
        """The specification of a trial. What is not given is the protocol's."""
        epochs = train_epochs or self.protocol.train_epochs
        shared = {
            name: getattr(self.protocol, name) for name in ("model", "train_size", "batch_size")
        }
        return TrialSpec(
            suite=suite,
            stage=stage,
            method=method,
            seed=seed,
            train_epochs=epochs,
            learning_rate=setting.learning_rate,
            weight_decay=setting.weight_decay,
            warmup_epochs=round(setting.warmup_share * epochs, 3),
            **{**shared, **options},
        )

    def chosen(
        self, suite: str, stage: str, method: str, choice: Choice, seed: int, **options: Any
    ):
        """The specification of a trial with the setting that the search chose."""
        origin = {"chosen_from": choice.trials, "edges": choice.edges}
        return self.spec(suite, stage, method, choice.setting, seed, **{**origin, **options})
