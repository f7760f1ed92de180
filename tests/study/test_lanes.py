"""Trials that train in lanes on JAX end as each of them does alone."""

import keras
import numpy as np
import pytest

from keras_wn import models
from keras_wn.study.specs import Setting
from keras_wn.study.trial import Trial, Trials
from keras_wn.training import loop
from tests.study.made_up import TINY
from tests.training.conftest import tiny

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="JAX has lanes: `nox -s backend`."
)

# JAX compiles each layer of a network several times, and one block of layers is enough.
SMALL = TINY.changed(model="tiny")


@pytest.fixture(autouse=True)
def _tiny_network(monkeypatch):
    monkeypatch.setitem(models._BUILDERS, "tiny", tiny)


def test_trials_in_lanes_and_alone_end_alike(tmp_path, planner_of):
    from keras_wn.study import lanes

    settings = (Setting(0.05, 1e-4, 0.2), Setting(1e25, 0.0, 0.0))
    specs = [
        planner_of(protocol=SMALL).spec(
            "accuracy",
            "x",
            "none",
            setting,
            seed,
            splits=("train", "test"),
            keeps_correct=True,
            curve_epochs=(1, 3),
            signal_epochs=(0,),
        )
        for seed, setting in enumerate(settings)
    ]
    trials = Trials(SMALL, tmp_path)
    together = lanes.run(trials, specs)
    for spec, record in zip(specs, together, strict=True):
        alone = trials.run(spec)
        for key in ("id", "spec", "status", "epochs"):
            assert record[key] == alone[key]
        assert record["effective_rate"]["start"] == alone["effective_rate"]["start"]
        if alone["status"] == "finished":
            for split, figures in alone["final"].items():
                assert record["final"][split] == pytest.approx(figures, rel=0.05, abs=0.02)
            assert record["curves"]["epoch"] == alone["curves"]["epoch"]
            np.testing.assert_allclose(record["curves"]["test"], alone["curves"]["test"], atol=0.05)
            assert len(record["correct"]) == len(alone["correct"])
            rates = [r["effective_rate"]["end"] for r in (record, alone)]
            assert rates[0] == pytest.approx(rates[1], rel=1e-3)
            norms = [[s["gradient_norm"] for s in r["signal"]] for r in (record, alone)]
            np.testing.assert_allclose(*norms, rtol=0.05)
    assert [record["status"] for record in together] == ["finished", "diverged"]
    assert together[1]["epochs"] == 1


def test_a_network_that_diverges_late_is_measured(tmp_path, planner_of):
    """A step on JAX frees the arrays that the variables had after the epoch before."""
    trials = Trials(SMALL, tmp_path)
    spec = planner_of(protocol=SMALL).spec(
        "accuracy", "x", "none", Setting(0.05, 1e-4, 0.2), seed=0
    )
    draw, config = trials.prepared(spec)
    network = trials.network(spec, config)
    trial = Trial(spec, network.step, draw, loop.make_timetable(config, draw.splits))
    trial.begin()
    batches = loop.training_batches(config, draw.splits, 0)
    rates = trial.timetable.rates[: config.steps_per_loop]
    for epoch, loss in ((1, 2.0), (2, float("nan"))):
        network.step.train(*next(batches), rates, 0.0)
        assert trial.end_epoch(epoch, {"loss": loss}) == np.isfinite(loss)
    results = trial.results(finite=False)
    assert results["status"] == "diverged" and results["epochs"] == 2
    assert np.isfinite(results["effective_rate"]["end"])
