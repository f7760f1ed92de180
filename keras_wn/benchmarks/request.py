"""What a benchmark is asked for."""

import dataclasses

from keras_wn import methods, models
from keras_wn.training.config import TrainConfig
from keras_wn.training.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Variant:
    """A method, with another join than its card's if `join` is given."""

    method: str
    join: str | None = None

    @classmethod
    def parse(cls, text):
        """A variant from `method` or `method:join`.

        Raises:
            UsageError: If there is no such method or join.

        Example:

        >>> Variant.parse("wn_trelu:weighted").join
        'weighted'
        """
        method, _, join = text.partition(":")
        if method not in methods.names():
            raise UsageError(f"--methods={text}: unknown. Allowed: {', '.join(methods.names())}.")
        if ":" in text and join not in methods.JOINS:
            raise UsageError(
                f"--methods={text}: no such join. Allowed after the colon: {', '.join(methods.JOINS)}."
            )
        return cls(method, join or None)

    def __str__(self):
        return self.method if self.join is None else f"{self.method}:{self.join}"


@dataclasses.dataclass(frozen=True)
class Request:
    """What to measure.

    Attributes:
        variants: Tuple of `Variant`, the baseline first.
        model: Name of a network.
        batch_size: Positive integer, of all devices together.
        image_size: Positive integer.
        rounds: Positive integer, rounds that count.
        precision: Keras dtype policy.
        xla: `auto`, `on` or `off`.
        replicas: Integer, 2 or more.
        topology: Name of a TPU slice, for example `v5e:2x2`.
        batch_per_chip: Positive integer.
    """

    variants: tuple
    model: str
    batch_size: int
    image_size: int
    rounds: int
    precision: str = "float32"
    xla: str = "auto"
    replicas: int = 2
    topology: str = "v5e:2x2"
    batch_per_chip: int = 128

    def network(self, variant, classes=1000):
        """A variant's network, not compiled."""
        shape = (self.image_size, self.image_size, 3)
        return models.get(self.model)(variant.method, shape, classes, variant.join)

    def config(self, variant, **options):
        """A variant's run, as the runners would be asked for it."""
        return TrainConfig(
            norm=variant.method,
            join=variant.join,
            model=self.model,
            batch_size=self.batch_size,
            image_size=self.image_size,
            **options,
        ).resolved()

    def __str__(self):
        return f"{self.model}, batch {self.batch_size}, {self.image_size} pixels, {self.precision}"
