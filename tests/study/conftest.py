"""Fixtures of the study's tests."""

import pytest

from keras_wn.study import report
from keras_wn.study.specs import Planner
from tests.study.made_up import CLASSES, TINY, World, log


@pytest.fixture
def planner_of():
    def make(methods=("bn", "wn"), protocol=TINY):
        return Planner(protocol, methods, CLASSES)

    return make


@pytest.fixture(scope="session")
def records():
    """Records of all suites, with a long command and a crash with a long error."""
    world = World(
        test={"none": 0.75, "bn": 0.8, "wn": 0.77, "normprop": 0.8, "wn_trelu": 0.83},
        train={"none": 0.95},
        regularized={"wn": 0.785, "bn": 0.81},
        limits={"none": 0.01, "bn": 4.0, "wn": 0.3, "normprop": 0.3, "wn_trelu": 4.0},
        steps={"bn": 0.13, "normprop": 0.12},
    )
    protocol, process, *trials = log(world)
    crash = {
        **trials[0],
        "id": "0" * 12,
        "spec": {**trials[0]["spec"], "seed": 77},
        "status": "crashed",
        "error": "no room for " + "x" * 500,
    }
    command = "compare.py --out=/" + "very_long_name" * 30
    moved = [("none", 10e9), ("bn", 15e9)]
    benchmark = {
        "kind": "benchmark",
        "title": "a step compiled for TPU v5e",
        "rows": [{"name": name, "moved": size, "total": size / 2} for name, size in moved],
    }
    return [protocol, {**process, "command": command}, *trials, crash, benchmark]


@pytest.fixture(scope="session")
def written(records, tmp_path_factory):
    """Folder of their report."""
    folder = tmp_path_factory.mktemp("report")
    report.write(records, folder)
    return folder
