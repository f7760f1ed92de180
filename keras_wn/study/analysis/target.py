"""How soon a method gets good."""

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Target:
    """Epochs until validation top-1 reached the protocol's target.

    Attributes:
        epochs: Tuple with the first measured epoch of each seed; None where it never did.
        median: Float, with never counted as infinite; None where that is the median, or without seeds.
    """

    epochs: tuple
    median: float | None

    @classmethod
    def of(cls, trials, wanted):
        """When trials reached a validation top-1.

        Args:
            trials: Trials, of which those without curves are left out.
            wanted: Float from 0 to 1; or None, for no target.

        Returns:
            `Target`.
        """
        curves = [trial.curves for trial in trials if trial.curves.get("validation")] if wanted is not None else []
        epochs = tuple(_first_epoch(curve, wanted) for curve in curves)
        median = statistics.median([float("inf") if epoch is None else epoch for epoch in epochs]) if epochs else None
        return cls(epochs, None if median == float("inf") else median)

    @property
    def reached(self):
        """Number of seeds that reached it."""
        return sum(epoch is not None for epoch in self.epochs)


def _first_epoch(curve, wanted):
    reached = (e for e, top1 in zip(curve["epoch"], curve["validation"], strict=True) if (top1 or 0) >= wanted)
    return next(reached, None)
