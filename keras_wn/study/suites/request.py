"""What a plan is made for."""

import dataclasses

from keras_wn import methods
from keras_wn.study.protocol import Protocol
from keras_wn.study.spec import TrialSpec


@dataclasses.dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        protocol: `Protocol`.
        methods: Names.
        seeds: Number of final trials a method.
    """

    protocol: Protocol
    methods: tuple[str, ...]
    seeds: int

    def spec(self, suite, stage, method, setting, seed, model=None, train_epochs=None, **options):
        """`TrialSpec` of a setting; the model and the epochs are the protocol's if not given."""
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
