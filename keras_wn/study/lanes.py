"""Trains trials of one network in the lanes of one compiled step, on JAX.

A small network does not keep a GPU busy. Many copies of it do. A trial's result is that of the
trial alone, but for the order of sums in the last digits.
"""

import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from keras_wn.study.specs import TrialSpec
from keras_wn.study.trial import Trial, Trials, effective_rate, trial_record
from keras_wn.training import loop
from keras_wn.training.run import as_metrics
from keras_wn.training.step_jax import JaxStep


class Lanes:
    """Trains copies of one model, each on its own batches, in one compiled function.

    Args:
        step: `JaxStep` of the model, on one device.
    """

    def __init__(self, step: JaxStep):
        self.step = step
        self._train = jax.jit(jax.vmap(step.steps), donate_argnums=0)
        self._finite = jax.jit(self._are_finite)
        self._take = jax.jit(lambda state, lane: jax.tree.map(lambda x: x[lane], state))
        self._state: Any = None
        self._stored: int | None = None

    def load(self, starts: Sequence[list]) -> None:
        """Takes the state of each lane.

        Args:
            starts: For each lane, the values of `[*model.variables, *optimizer.variables]`.
        """
        states = []
        for values in starts:
            self.step.assign(values)
            self.step.load()
            states.append(self.step.state)
        self._state = jax.tree.map(lambda *lanes: jnp.stack(lanes), *states)
        self._stored = None

    def train(self, images: Any, labels: Any, rates: Any, decays: Any) -> jax.Array:
        """Takes steps in every lane. The arguments are `JaxStep.train`'s, with lanes in front.

        Args:
            images: Array of shape `(lanes, steps, rows, height, width, channels)`.
            labels: One-hot array of shape `(lanes, steps, rows, classes)`.
            rates: Float32 array of shape `(lanes, steps)`.
            decays: Float32 array of shape `(lanes,)`.

        Returns:
            Float32 array of shape `(lanes, 4)`: sums of loss, top-1, top-5 and images.
        """
        arrays = (np.asarray(array, "float32") for array in (images, labels, rates, decays))
        self._state, sums = self._train(self._state, *arrays)
        self._stored = None
        return sums

    def finite(self) -> np.ndarray:
        """Whether all trained variables of each lane are finite: boolean array of `(lanes,)`."""
        return np.asarray(self._finite(self._state[0]))

    def store(self, lane: int) -> None:
        """Puts the state of a lane into the variables of the model and of the optimizer."""
        if self._stored != lane:
            self.step.state = self._take(self._state, lane)
            self.step.store()
            self._stored = lane

    @staticmethod
    def _are_finite(trainable):
        by_variable = [jnp.isfinite(v).reshape(len(v), -1).all(axis=1) for v in trainable]
        return jnp.stack(by_variable).all(axis=0)


class Lane:
    """A lane of `Lanes`, with those methods of a step that a `Trial` measures by.

    Args:
        lanes: `Lanes`.
        number: Place of the lane.
    """

    def __init__(self, lanes: Lanes, number: int):
        self._lanes, self._number = lanes, number
        step = lanes.step
        self.model, self.loss = step.model, step.loss
        self.evaluate, self.logits = step.evaluate, step.logits

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
    """Runs trials in lanes.

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
    lanes = network.lanes = network.lanes or Lanes(step)
    lanes.load(starts)
    ready = time.perf_counter()
    in_lanes = [
        LaneTrial(spec, Lane(lanes, number), draw, loop.make_timetable(config, draw.splits))
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
    timetables = [trial.timetable for trial in trials]
    batches = [
        loop.training_batches(config, draw.splits, 0)
        for config, draw in zip(configs, draws, strict=True)
    ]
    decays = [timetable.decay for timetable in timetables]
    per_loop, per_epoch = timetables[0].steps_per_loop, timetables[0].steps_per_epoch
    for trial in trials:
        trial.begin()
    sums = np.zeros((len(trials), 4))
    for first in range(0, len(timetables[0].rates), per_loop):
        done = first + per_loop
        images, labels = map(np.stack, zip(*map(next, batches), strict=True))
        rates = [timetable.rates[first:done] for timetable in timetables]
        sums = sums + lanes.train(images, labels, rates, decays)
        if done % per_epoch:
            continue
        sums, finite = np.asarray(sums, "float64"), lanes.finite()
        for trial, own, weights_are_finite in zip(trials, sums, finite, strict=True):
            # A trial that diverged has ended, though its lane goes on.
            if trial.is_finite:
                goes_on = trial.end_epoch(done // per_epoch, as_metrics(own))
                trial.is_finite = goes_on and bool(weights_are_finite)
        if not any(trial.is_finite for trial in trials):
            return
        sums = np.zeros((len(trials), 4))
