"""Describes what a benchmark measures: the methods, the network and the sizes."""

import dataclasses
from typing import Any

import keras

from keras_wn import methods, models
from keras_wn.errors import UsageError
from keras_wn.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class Variant:
    """A method, with another join than its card's if `join` is given."""

    method: str
    join: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """A variant from `method` or `method:join`.

        Raises:
            UsageError: If no method or no join has this name.

        Example:

        >>> Variant.parse("wn_trelu:weighted").join
        'weighted'
        """
        method, _, join = text.partition(":")
        if method not in methods.names():
            raise UsageError(f"--methods={text}: unknown. Allowed: {', '.join(methods.names())}.")
        if ":" in text and join not in methods.JOINS:
            raise UsageError(
                f"--methods={text}: no such join. "
                f"Allowed after the colon: {', '.join(methods.JOINS)}."
            )
        return cls(method, join or None)

    def __str__(self) -> str:
        return self.method if self.join is None else f"{self.method}:{self.join}"


@dataclasses.dataclass(frozen=True)
class Workload:
    """The methods, the network and the sizes that a benchmark measures.

    Attributes:
        variants: Tuple of `Variant`, the baseline first.
        model: Name of a network.
        batch_size: Positive integer, the images of all devices together.
        image_size: Positive integer, the height and the width.
        rounds: Positive integer, the number of rounds that count.
        precision: Keras dtype policy.
        xla: `auto`, `on` or `off`.
        replicas: Integer, 2 or more.
        topology: Name of a TPU slice, for example `v5e:2x2`.
        batch_per_chip: Positive integer.
    """

    variants: tuple[Variant, ...]
    model: str
    batch_size: int
    image_size: int
    rounds: int
    precision: str = "float32"
    xla: str = "auto"
    replicas: int = 2
    topology: str = "v5e:2x2"
    batch_per_chip: int = 128

    def network(self, variant: Variant, classes: int = 1000) -> keras.Model:
        """The network of a variant, not compiled."""
        shape = (self.image_size, self.image_size, 3)
        return models.get(self.model)(variant.method, shape, classes, variant.join)

    def config(self, variant: Variant, **options: Any) -> TrainConfig:
        """The run of a variant, as the flags of `runners/imagenet.py` would ask for it."""
        return TrainConfig(
            norm=variant.method,
            join=variant.join,
            model=self.model,
            batch_size=self.batch_size,
            image_size=self.image_size,
            **options,
        ).resolved()

    def __str__(self) -> str:
        return f"{self.model}, batch {self.batch_size}, {self.image_size} pixels, {self.precision}"
