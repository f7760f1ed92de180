"""Specifies trials: all that the result of a trial depends on, and the record that it gives."""

import dataclasses
import functools
import hashlib
import json
from typing import Annotated, Any

from keras_wn.study import fields
from keras_wn.study.fields import Count, MethodName, ModelName, Name, Option
from keras_wn.study.protocol import Protocol

# The trials that are done: their records by identity.
Done = dict[str, dict[str, Any]]
SPLITS = ("train", "validation", "test")
STATUSES = ("finished", "diverged", "crashed")
Split = Annotated[str, fields.one_of(SPLITS)]
TrialId = Annotated[str, fields.matching("[0-9a-f]{12}")]
# All methods are compared with this one.
BASELINE = "bn"
# The cost of a step is measured against this method.
UNNORMALIZED = "none"


@dataclasses.dataclass(frozen=True)
class TrialSpec:
    """Everything that a trial's result depends on, besides the protocol.

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
    stage: Name
    method: MethodName
    model: ModelName
    seed: Count
    train_size: Count | None
    batch_size: Count
    train_epochs: Count
    learning_rate: float
    weight_decay: float
    warmup_epochs: float
    options: tuple[Option, ...] = ()
    number: Count | None = None
    chosen_from: tuple[TrialId, ...] = ()
    edges: tuple[Name, ...] = ()
    splits: tuple[Split, ...] = ("validation",)
    keeps_correct: bool = False
    curve_epochs: tuple[Count, ...] = ()
    signal_epochs: tuple[Count, ...] = ()
    beside: tuple[MethodName, ...] = ()

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
        """Trials that agree in these values can train in the lanes of one step."""
        return *self.network, self.train_size, self.train_epochs

    @property
    def together(self) -> tuple | None:
        """Trials that agree in this value are timed in turns, while nothing else runs."""
        return (self.batch_size, *self.beside) if self.beside else None


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


@dataclasses.dataclass(frozen=True)
class Setting:
    """The values that are tuned for a method.

    Attributes:
        learning_rate: Float, the peak.
        weight_decay: Float.
        warmup_share: Float, share of the epochs.
    """

    learning_rate: float
    weight_decay: float
    warmup_share: float


@dataclasses.dataclass(frozen=True)
class Choice:
    """The setting that a search chose.

    Attributes:
        setting: `Setting`.
        top1: Its mean validation top-1.
        trials: Identities of its trials.
        edges: Names of the tuned numbers whose value lies at an edge of what was tried.
    """

    setting: Setting
    top1: float
    trials: tuple[str, ...]
    edges: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Planner:
    """Specifies the trials of the comparison that the user asked for.

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
        **changes: Any,
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
            **{**shared, **changes},
        )

    def chosen(
        self, suite: str, stage: str, method: str, choice: Choice, seed: int, **changes: Any
    ) -> TrialSpec:
        """The specification of a trial with the setting that the search chose."""
        origin = {"chosen_from": choice.trials, "edges": choice.edges}
        return self.spec(suite, stage, method, choice.setting, seed, **{**origin, **changes})
