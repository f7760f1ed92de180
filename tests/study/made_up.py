"""Makes up the results of trials whose effects are known, for tests without training."""

import base64
import dataclasses
import json
import math

import numpy as np

from keras_wn.study import budgets, questions
from keras_wn.study.questions import SUITES
from keras_wn.study.specs import Planner, empty_record

TINY = budgets.get("tiny")
CLASSES = 10
DATA = {
    "classes": CLASSES,
    "images": {"train": 128, "validation": 250, "test": 1000},
    "data": "made up",
}
METHODS = ("none", "bn", "wn", "normprop", "wn_trelu")
# Enough seeds for decisions, and two depths. A margin of 1 point.
_PLAIN = dataclasses.replace(
    TINY.of("stability").conditions[0], models=("cifar_resnet8", "cifar_resnet20")
)
DECISIVE = TINY.changed(
    dataclasses.replace(TINY.of("stability"), seeds=8, conditions=(_PLAIN,)),
    dataclasses.replace(TINY.of("cost"), rounds=10, batch_sizes=(8, 32)),
    seeds=10,
    margin=1.0,
)
PROCESS = {
    "kind": "process",
    "id": "p0",
    "command": "compare.py (made up)",
    "time": "2000-01-01T00:00:00+00:00",
    "versions": {"keras_wn": "0.0.0", "python": "3.11.0", "keras": "3.15.0", "numpy": "2.0.0"},
    "backend": "tensorflow",
    "machine": {"platform": "made up", "processor": "made up", "cores": 2, "threads": 1},
    "commit": None,
}


def result(spec, top1=0.5, status="finished"):
    """A trial's record, as it is read from a log."""
    figures = {"loss": 1.0 - top1 if status == "finished" else None, "top1": top1, "top5": 1.0}
    record = {
        **empty_record(spec),
        "status": status,
        "final": {name: figures for name in spec.splits},
    }
    return json.loads(json.dumps(record))


def all_done(plan, planner, top1=lambda spec: 0.5):
    """Plans until nothing is left, every trial ending with `top1(spec)`.

    Returns:
        Dict from identity to record, in the order of the plan.
    """
    return _done(plan, planner, lambda spec: result(spec, top1(spec)))


def _done(plan, planner, make):
    done = {}
    while True:
        new = [spec for spec in plan(planner, done) if spec.id not in done]
        if not new:
            return done
        done.update({spec.id: make(spec) for spec in new})


@dataclasses.dataclass
class World:
    """The truth that made-up trials are drawn from.

    Attributes:
        test, train: Mean top-1 by method. What is not given is 0.8, and 0.99.
        regularized: Mean test top-1 of a method with its best regularizers.
        limits: Largest stable learning rate by method; 1 if not given.
        steps: Seconds of a step by method; 0.1 if not given.
        spread: Standard deviation of top-1 over seeds.
        limit_spread: The same of log2 of the limits.
        learns_from: log2 of the learning rate below which nothing is learned.
        finite_to: By method, the largest learning rate at which the loss stays finite, if it is not
            the limit.
    """

    test: dict = dataclasses.field(default_factory=dict)
    train: dict = dataclasses.field(default_factory=dict)
    regularized: dict = dataclasses.field(default_factory=dict)
    limits: dict = dataclasses.field(default_factory=dict)
    steps: dict = dataclasses.field(default_factory=dict)
    spread: float = 0.002
    limit_spread: float = 0.1
    learns_from: float = -math.inf
    finite_to: dict = dataclasses.field(default_factory=dict)

    def record(self, spec):
        """The record of a trial."""
        rng = np.random.default_rng(int(spec.id, 16))
        # Seeds have a part in common, by which pairs differ less.
        shared = np.random.default_rng(spec.seed)
        if spec.suite == "stability":
            return self._stability(spec)
        record = result(spec)
        record["process"] = "p0"
        if spec.suite == "cost":
            rounds = 10 if spec.together else 0
            machine = 1 + 0.1 * np.random.default_rng(0).normal(size=rounds)
            own = self.steps.get(spec.method, 0.1) * (1 + 0.005 * rng.normal(size=rounds))
            return {**record, "step_seconds": (machine * own).tolist()}
        means = {
            "train": self.train.get(spec.method, 0.99),
            "validation": self.test.get(spec.method, 0.8),
            "test": self.test.get(spec.method, 0.8),
        }
        if spec.suite == "regularization" and spec.stage in ("grid", "combined", "scored"):
            means["test"] = means["validation"] = self.regularized.get(spec.method, means["test"])
        noise = self.spread * (shared.normal() + rng.normal())
        top1 = {split: min(1.0, mean + noise) for split, mean in means.items()}
        if spec.keeps_correct:
            # Images differ in their difficulty, which all trials share.
            count = DATA["images"]["test"]
            difficulty = np.random.default_rng(1).uniform(size=count)
            correct = np.argsort(np.argsort(difficulty)) < round(top1["test"] * count)
            record["correct"] = base64.b64encode(np.packbits(correct).tobytes()).decode()
        record["final"] = {
            split: {"loss": 1 - top1[split], "top1": top1[split], "top5": 1.0}
            for split in spec.splits
        }
        if spec.curve_epochs:
            record["curves"] = {
                "epoch": list(spec.curve_epochs),
                "train_loss": [0.5] * len(spec.curve_epochs),
                **{s: [0.9 * top1[s]] * len(spec.curve_epochs) for s in spec.splits},
            }
        record["signal"] = [
            {
                "epoch": epoch,
                "gradient_norm": 1.0,
                "blocks": [
                    {"block": f"b{i}", "mean": 0.1, "variance": 2.0**i, "gradient_norm": 0.1}
                    for i in range(3)
                ],
            }
            for epoch in spec.signal_epochs
        ]
        record["effective_rate"] = {"start": spec.learning_rate / 2, "end": spec.learning_rate / 3}
        record["seconds"] = {"training": 1.0, "evaluation": 0.1, "building": 0.2, "total": 1.3}
        return record

    def _stability(self, spec):
        drawn = np.random.default_rng([spec.seed, *spec.method.encode()]).normal()
        limit = math.log2(self.limits.get(spec.method, 1.0)) + self.limit_spread * drawn
        octaves = math.log2(spec.learning_rate)
        learned = self.learns_from < octaves <= limit
        record = result(spec, 0.9 if learned else 0.1)
        if octaves > limit and spec.learning_rate > self.finite_to.get(spec.method, 0.0):
            record |= {"status": "diverged", "final": {}}
        record["effective_rate"] = {"start": spec.learning_rate / 2, "end": None}
        return record


def log(world, suites=tuple(SUITES), methods=METHODS, protocol=DECISIVE):
    """The lines of a whole log of these suites, as the plan asks for them."""
    planner = Planner(protocol, methods, CLASSES)
    done = {}
    for suite in suites:
        done |= _done(SUITES[suite].plan, planner, world.record)
    rules = questions.rules(protocol.margin, protocol.level)
    return [protocol.record(DATA, methods, suites, rules), PROCESS, *done.values()]
