"""Tells what a plan takes before it starts: its trials and its time.

Later trials depend on the results of earlier ones. So the plan is rehearsed with made-up results,
which have no influence on the study.
"""

import functools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from keras_wn import models
from keras_wn.errors import UsageError
from keras_wn.study.estimates import Difference, pairs_needed
from keras_wn.study.protocol import Protocol
from keras_wn.study.questions import SUITES
from keras_wn.study.specs import Done, Planner, TrialSpec, empty_record

# The noise of a difference in test top-1 from bn's: the standard deviation over seeds in points,
# and the variance over images of the mean difference, in which wrong is 0 and correct is 1. In the
# trials of docs/study, those of none, wn, normprop and wn_trelu are 0.48 to 0.63 and 0.002
# to 0.008 (`estimates.crossed` of their final trials).
_SPREAD, _IMAGE_VARIANCE = 0.6, 0.008

# A multiplication and addition of ResNet-50's training on an A100 with mixed precision and XLA,
# which takes 2,375 images a second of 3.86e9 each: NVIDIA DeepLearningExamples,
# TensorFlow/Classification/ConvNets/resnet50v1.5/README.md.
A100_SECONDS = 1 / (2375 * 3.86e9)

# The limits of made-up trials, as log2 of the learning rate: their mean and spread over seeds.
_LIMIT, _LIMIT_SPREAD = -1.0, 0.5


def rehearse(planner: Planner, suites: Iterable[str], done: Done) -> list[TrialSpec]:
    """The trials that a plan is likely to have, those that are done among them.

    Args:
        planner: `Planner`.
        suites: Names.
        done: The trials that are done. The others get made-up results.

    Returns:
        List of `TrialSpec`, each once.

    Example:

    >>> from keras_wn.study import budgets
    >>> specs = rehearse(Planner(budgets.get("tiny"), ("bn", "wn"), 10), ["accuracy"], {})
    >>> sorted({spec.stage for spec in specs})
    ['final', 'tune']
    """
    known, planned = dict(done), {}
    for suite in suites:
        while True:
            specs = {spec.id: spec for spec in SUITES[suite].plan(planner, known)}
            planned |= specs
            new = [spec for spec in specs.values() if spec.id not in known]
            if not new:
                break
            known.update({spec.id: _made_up(spec) for spec in new})
    return list(planned.values())


def _made_up(spec):
    limit = _LIMIT + _LIMIT_SPREAD * np.random.default_rng(spec.seed).normal()
    figures = {"loss": 1.0, "top1": 1.0, "top5": 1.0}
    stable = spec.suite != "stability" or math.log2(spec.learning_rate) <= limit
    return {
        **empty_record(spec),
        "status": "finished" if stable else "diverged",
        "final": {split: figures for split in spec.splits},
    }


@functools.cache
def multiply_adds(model: str, image_size: int) -> int:
    """The multiplications of the layers with a kernel, in a forward pass of one image.

    Args:
        model: Name of a network.
        image_size: Height and width.

    Example:

    >>> round(multiply_adds("resnet50", 224) / 1e9, 1)
    3.9

    Reference: He et al. 2016, arXiv 1512.03385, table 1, has 3.8e9.
    """
    total = 0
    for layer in models.get(model)("none", (image_size, image_size, 3)).layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            # A kernel is applied at each place of the output.
            total += math.prod(kernel.shape) * math.prod(layer.output.shape[1:-1])
    return total


class Forecast:
    """The trials and the time that a plan still takes.

    The time is in proportion to the multiplications that are left, at the mean speed of the trials
    that this process has run.

    Args:
        planner: `Planner`.
        suites: Names.
        done: The trials that are done.
        train_images: Training images of the whole data set.
        share: Share of the trials that falls to this process.
        jobs: Processes that run trials at the same time.

    Attributes:
        jobs: As given.
        seconds_per_multiply_add: Float, used before a trial is done. None if it is unknown.
        seconds_per_network: Float, the time to build a network, used before a trial is done.
    """

    def __init__(
        self,
        planner: Planner,
        suites: Sequence[str],
        done: Done,
        train_images: int,
        share: float = 1.0,
        jobs: int = 1,
    ):
        self.jobs, self.seconds_per_multiply_add, self.seconds_per_network = jobs, None, 0.0
        self._protocol, self._train_images, self._share = planner.protocol, train_images, share
        # The log may have trials of other methods and suites, which tell nothing of this plan.
        self._before = len(done)
        self._specs = [spec for spec in rehearse(planner, suites, done) if spec.id not in done]
        # Trials run about in the order of the plan: after so many of them, this work is left.
        self._work_after = np.cumsum([0.0, *map(self._work, reversed(self._specs))])[::-1]
        self._seconds, self._work_done = 0.0, 0.0

    def learn(self, spec: TrialSpec, seconds: float) -> None:
        """Takes the time of a trial into account."""
        self._seconds += seconds * (self.jobs if spec.together else 1)
        self._work_done += self._work(spec)

    def total(self, done: Done, left: Sequence[TrialSpec] = ()) -> int:
        """The number of trials in the log when all of the plan is done.

        Args:
            done: The trials that are done.
            left: The trials that are known to be left.
        """
        return max(self._before + len(self._specs), len(done) + len(left))

    def seconds_left(self, done: Done, left: Sequence[TrialSpec] = ()) -> float | None:
        """The time until this process is through with its part, or None if nothing tells it yet."""
        through = min(len(done) - self._before, len(self._specs))
        work = max(self._work_after[through], sum(map(self._work, left)))
        rate, networks = self.seconds_per_multiply_add, len({s.network for s in self._specs})
        if self._work_done:
            # The time of a trial has that of its network.
            rate, networks = self._seconds / self._work_done, 0
        if rate is None:
            return None if work else 0.0
        return (rate * work + networks * self.seconds_per_network) * self._share / self.jobs

    def _work(self, spec):
        """The work of a trial, which counts as often as it keeps processes from working."""
        work = work_of(spec, self._protocol, self._train_images)
        # Steps are timed with nothing at the same time.
        return work * self.jobs if spec.together else work


def check_test_images(protocol: Protocol, images: int) -> None:
    """Checks that the test part can tell methods apart to within the margin of a protocol.

    Raises:
        UsageError: If it cannot with the protocol's seeds, with the seeds that it would take.
    """

    def needed(fixed):
        found = Difference(0.0, math.hypot(_SPREAD, fixed), math.inf, 1, fixed)
        return pairs_needed(found, protocol.margin)

    seeds = needed(100 * math.sqrt(_IMAGE_VARIANCE / images))
    # A plan whose seeds would be too few on any number of images does not fail by its images.
    if seeds <= protocol.seeds or needed(0.0) > protocol.seeds:
        return
    takes = "no number of seeds is enough" if math.isinf(seeds) else f"it would take {seeds} seeds"
    raise UsageError(
        f"--dataset={protocol.dataset}: its {images} test images are too few to tell methods "
        f"apart to within {protocol.margin:g} points: {takes}. "
        "Allowed: a data set with more of them, more --seeds, or --yes to go on with these."
    )


def work_of(spec: TrialSpec, protocol: Protocol, train_images: int) -> float:
    """The multiplications of a trial's forward passes while it trains."""
    if spec.together:
        asked = protocol.of("cost")
        images = spec.batch_size * asked.steps * asked.rounds
        return multiply_adds(spec.model, asked.image_size) * images
    images = (spec.train_size or train_images) * spec.train_epochs
    return multiply_adds(spec.model, protocol.image_size) * images
