"""Trains trials of one network side by side in one compiled step, on JAX.

A trial's result is that of the trial alone, but for the order of sums in the last digits.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_wn.study.specs import TrialSpec
from keras_wn.study.trial import Trial, Trials, effective_rate, trial_record
from keras_wn.training import loop
from keras_wn.training.run import as_figures


class Lane:
    """A lane of `JaxLanes`, with those methods of a step that a `Trial` measures by.

    Args:
        lanes: `JaxLanes`.
        number: Place of the lane.
    """

    def __init__(self, lanes: Any, number: int):
        self._lanes, self._number = lanes, number
        step = lanes.step
        self.model, self.loss = step.model, step.loss
        self.evaluate, self.correct = step.evaluate, step.correct

    def load(self) -> None:
        """Does nothing: all lanes are loaded at once."""

    def store(self) -> None:
        """Puts the state of the lane into the variables of the model."""
        self._lanes.store(self._number)


class LaneTrial(Trial):
    """Measures a trial that trains in a lane.

    Attributes:
        is_finite: Whether the loss and the weights are finite so far.
    """

    is_finite = True

    def _weights_are_finite(self):
        # All lanes are looked at together.
        return True


def run(trials: Trials, specs: Sequence[TrialSpec]) -> list[dict[str, Any]]:
    """Runs trials side by side.

    Args:
        trials: `Trials`, with images in memory.
        specs: List of `TrialSpec` that agree in `lane`.

    Returns:
        The lines of the log. A trial's seconds are its share of those of all.
    """
    begun = time.perf_counter()
    draws, configs = zip(*map(trials.prepared, specs), strict=True)
    network = trials.network(specs[0], configs[0])
    step, starts, rates = network.step, [], []
    for spec, draw, config in zip(specs, draws, configs, strict=True):
        network.put_at_start(config, draw.splits)
        rates.append({"start": effective_rate(step.model, spec.learning_rate)})
        starts.append(network.values())
    lanes = network.lanes = network.lanes or step.lanes()
    lanes.load(starts)
    ready = time.perf_counter()
    in_lanes = [
        LaneTrial(spec, Lane(lanes, number), draw, loop.make_plan(config, draw.splits))
        for number, (spec, draw, config) in enumerate(zip(specs, draws, configs, strict=True))
    ]
    _train(lanes, in_lanes, draws, configs)
    measuring = sum(trial.seconds for trial in in_lanes)
    trained = time.perf_counter()
    results = [trial.results(trial.is_finite) for trial in in_lanes]
    seconds = {
        "building": ready - begun,
        "training": trained - ready - measuring,
        "evaluation": time.perf_counter() - trained + measuring,
    }
    shares = {name: value / len(specs) for name, value in seconds.items()}
    return [
        trial_record(spec, rate, result, shares)
        for spec, rate, result in zip(specs, rates, results, strict=True)
    ]


def _train(lanes, trials, draws, configs):
    plans = [trial.plan for trial in trials]
    batches = [
        loop.training_batches(config, draw.splits, 0)
        for config, draw in zip(configs, draws, strict=True)
    ]
    decays = [plan.decay for plan in plans]
    per_loop, per_epoch = plans[0].steps_per_loop, plans[0].steps_per_epoch
    for trial in trials:
        trial.begin()
    sums = np.zeros((len(trials), 4))
    for first in range(0, len(plans[0].rates), per_loop):
        done = first + per_loop
        images, labels = map(np.stack, zip(*map(next, batches), strict=True))
        rates = [plan.rates[first:done] for plan in plans]
        sums = sums + lanes.train(images, labels, rates, decays)
        if done % per_epoch:
            continue
        sums, finite = np.asarray(sums, "float64"), lanes.finite()
        for trial, own, weights_are_finite in zip(trials, sums, finite, strict=True):
            # A trial that diverged has ended, though its lane goes on.
            if trial.is_finite:
                goes_on = trial.end_epoch(done // per_epoch, as_figures(own))
                trial.is_finite = goes_on and bool(weights_are_finite)
        if not any(trial.is_finite for trial in trials):
            return
        sums = np.zeros((len(trials), 4))
