"""One trial, as its line of trials.jsonl has it."""

import dataclasses
from collections.abc import Mapping

_NEEDED = ("suite", "stage", "method", "model", "seed")


def learned_from(classes):
    """The least top-1 of a network that has learned.

    Example:

    >>> learned_from(classes=10), learned_from(classes=2)
    (0.2, 0.75)
    """
    return min(2 / classes, (1 + 1 / classes) / 2)


@dataclasses.dataclass(frozen=True)
class Trial:
    """What is known of one trial.

    Attributes:
        id: Text.
        process: Text, the id of the process that ran it.
        spec: Dict of what was asked for: suite, stage, method, model, seed, learning rate and the rest.
        status: `finished`, `diverged` or `crashed`.
        error: Text of a crash, or None.
        epochs: Number of epochs that were trained.
        final: Dict from split to its figures.
        curves: Dict of lists: `epoch`, and figures at these epochs.
        signal: Tuple of the signal's measurements, by epoch.
        step_seconds: Tuple of the step's time by round.
        seconds: Dict of what the time went to.
    """

    id: str
    process: str
    spec: Mapping
    status: str
    error: str | None
    epochs: float | None
    final: Mapping
    curves: Mapping
    signal: tuple
    step_seconds: tuple
    seconds: Mapping

    @classmethod
    def of(cls, record):
        """The trial that a record describes.

        Args:
            record: Dict, a line of trials.jsonl of kind `trial`.

        Returns:
            `Trial`.

        Raises:
            ValueError: If the record says not which trial it is.
        """
        spec = record.get("spec") or {}
        missing = [key for key in ("id", "status") if key not in record] + [key for key in _NEEDED if key not in spec]
        if missing:
            raise ValueError(f"Trial {record.get('id')!r} lacks {', '.join(missing)}.")
        return cls(
            id=str(record["id"]),
            process=str(record.get("process") or ""),
            spec=spec,
            status=record["status"],
            error=record.get("error"),
            epochs=record.get("epochs"),
            final=record.get("final") or {},
            curves=record.get("curves") or {},
            signal=tuple(record.get("signal") or ()),
            step_seconds=tuple(record.get("step_seconds") or ()),
            seconds=record.get("seconds") or {},
        )

    @property
    def method(self):
        """Name of the method."""
        return self.spec["method"]

    @property
    def model(self):
        """Name of the network."""
        return self.spec["model"]

    @property
    def seed(self):
        """Seed of the start, the order of images and dropout."""
        return self.spec["seed"]

    @property
    def crashed(self):
        """Whether it ended in an error of the program, and so says nothing about the method."""
        return self.status == "crashed"

    @property
    def diverged(self):
        """Whether its loss was not finite."""
        return self.status == "diverged"

    def learned(self, classes):
        """Whether it finished with a validation top-1 twice as good as guessing; of two classes, halfway from there to all right."""
        top1 = self.top1("validation", classes)
        return self.status == "finished" and top1 is not None and top1 >= learned_from(classes)

    def top1(self, split, classes):
        """Final top-1 of a split, from 0 to 1.

        Args:
            split: `train`, `validation` or `test`.
            classes: Number of classes.

        Returns:
            Float; of a diverged trial without a figure 1 / classes, as of guessing; None of a crashed trial, or if the trial
            was not to be scored on this split.

        Example:

        >>> spec = {"suite": "accuracy", "stage": "final", "method": "wn", "model": "cifar_resnet8", "seed": 0}
        >>> Trial.of({"id": "a", "spec": spec, "status": "diverged"}).top1("test", classes=10)
        0.1
        """
        if self.crashed:
            return None
        measured = (self.final.get(split) or {}).get("top1")
        return 1 / classes if measured is None and self.diverged else measured
