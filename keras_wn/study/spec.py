"""What one trial does."""

import dataclasses
import hashlib
import json


@dataclasses.dataclass(frozen=True)
class TrialSpec:
    """Everything that a trial's result depends on, beside the protocol.

    Attributes:
        suite: The suite that planned it.
        stage: Its part in the suite.
        method, model, join: Names.
        seed: Integer, of the initial weights, the data order, dropout, and the draw of training images and wrong labels.
        train_epochs: Positive integer.
        learning_rate: Float, the peak.
        weight_decay, warmup_epochs, dropout: Floats.
        number: Place in the search's sequence; None outside of a search.
        round: Round of the search, 0 for the first; None outside of a search.
        chosen_from: Identity of the search's trial whose setting it takes; None if no search chose it.
        edge: Whether that setting lies at the edge of what was searched; None if no search chose it.
        splits: Names of the splits that are measured at the end.
        curve_epochs: Epochs after which these splits are measured as well.
        signal_epochs: Epochs after which the signal by block is measured.
        beside: Methods that are timed in turns with it, its own among them; empty but for the cost suite.
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
    def id(self):
        """Twelve characters that tell it from all other trials of a protocol."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def network(self):
        """What trials must share to share one compiled step."""
        return self.method, self.model, self.join, self.dropout

    @property
    def alone(self):
        """Whether nothing else may run on the machine meanwhile."""
        return bool(self.beside)

    @classmethod
    def from_record(cls, record):
        """The specification that a line of the log holds."""
        lists = {key: tuple(value) for key, value in record.items() if isinstance(value, list)}
        return cls(**{**record, **lists})


def record_of(spec):
    """The line of the log of a trial of which nothing is known yet."""
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
