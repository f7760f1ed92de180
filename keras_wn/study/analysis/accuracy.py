"""Suite accuracy: each method at its own best settings, on fresh seeds."""

import dataclasses

from keras_wn.study.analysis import estimates, methods
from keras_wn.study.analysis.comparison import Comparison
from keras_wn.study.analysis.counts import Counts
from keras_wn.study.analysis.target import Target

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class MethodAccuracy:
    """A method's tuning and its final trials.

    Attributes:
        method: Name.
        tune: Tuple of tuning trials.
        chosen: The tuning trial whose settings the final trials have, or None.
        best: The tuning trial that `choose` names, or None.
        edge: Whether the chosen learning rate is the smallest or the largest that was tried; None if nothing was chosen.
        finals: Tuple of final trials.
        tops: Dict from split to `estimates.Center` of the final top-1, or None.
        gap: `estimates.Center` of train minus test top-1, or None.
        target: `Target`.
        against_baseline: `Comparison`; None for the baseline itself.
    """

    method: str
    tune: tuple
    chosen: object | None
    best: object | None
    edge: bool | None
    finals: tuple
    tops: dict
    gap: estimates.Center | None
    target: Target
    against_baseline: Comparison | None

    @property
    def tune_counts(self):
        """`Counts` of the tuning trials."""
        return Counts.of(self.tune)

    @property
    def counts(self):
        """`Counts` of the final trials."""
        return Counts.of(self.finals)


def measure(log):
    """What the accuracy suite says.

    Args:
        log: `TrialLog`.

    Returns:
        Dict from method to `MethodAccuracy`, in the order of tables; empty if the suite has no trials.
    """
    trials = log.select(suite="accuracy")
    return {method: _of_method(log, method) for method in methods.of_trials(trials)}


def choose(tune, classes):
    """The trial with the best validation top-1, of equal ones that with the lower validation loss; never a diverged one.

    Args:
        tune: Tuning trials of one method.
        classes: Number of classes.

    Returns:
        `Trial`, or None if none finished.
    """
    finished = [t for t in tune if t.status == "finished" and t.top1("validation", classes) is not None]
    return max(finished, key=lambda t: (t.top1("validation", classes), -_loss(t)), default=None)


def finals(log, method):
    """Final trials of a method; of several with one seed, the last."""
    trials = log.select(suite="accuracy", stage="final", method=method)
    return tuple({trial.seed: trial for trial in trials}.values())


def _of_method(log, method):
    tune, final = log.select(suite="accuracy", stage="tune", method=method), finals(log, method)
    best = choose(tune, log.classes)
    chosen = _chosen(tune, final) or best
    return MethodAccuracy(
        method=method,
        tune=tune,
        chosen=chosen,
        best=best,
        edge=_edge(tune, chosen, final),
        finals=final,
        tops={split: estimates.center(estimates.tops(final, split, log.classes).values()) for split in SPLITS},
        gap=estimates.center(estimates.gaps(final, log.classes).values()),
        target=Target.of(final, log.protocol.get("target_top1")),
        against_baseline=None
        if method == methods.BASELINE
        else Comparison.of(final, finals(log, methods.BASELINE), log.classes),
    )


def _loss(trial):
    loss = trial.final["validation"].get("loss")
    return float("inf") if loss is None else loss


def _chosen(tune, final):
    ids = {trial.spec.get("chosen_from") for trial in final}
    return next((trial for trial in tune if ids == {trial.id}), None)


def _edge(tune, chosen, final):
    said = {trial.spec["edge"] for trial in final if trial.spec.get("edge") is not None}
    if said:
        return any(said)
    tried = [trial.spec["learning_rate"] for trial in tune if not trial.crashed]
    return None if chosen is None else chosen.spec["learning_rate"] in (min(tried), max(tried))
