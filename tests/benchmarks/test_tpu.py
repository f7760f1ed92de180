"""Compiling for a TPU without a TPU: refused flags, and failures of the compiler.

`nox -s tpu` compiles.
"""

import importlib.util
import json
import os
import subprocess
import sys

import keras
import pytest

from keras_wn.benchmarks import tpu
from keras_wn.benchmarks.workload import Variant, Workload
from keras_wn.errors import UsageError
from tests.runners.processes import RUNNERS


def workload(topology="v5e:2x2"):
    return Workload((Variant("none"),), "cifar_resnet8", 8, 32, 3, topology=topology)


def test_an_unknown_topology_is_refused_with_those_that_are_known():
    with pytest.raises(
        UsageError, match="--topology=v9:2x2: unknown. Allowed: v4:2x2x1, v5e:2x2, "
    ):
        tpu.measure(workload("v9:2x2"))


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="On JAX alone.")
def test_without_libtpu_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "libtpu", None)
    with pytest.raises(UsageError, match=r"libtpu is not installed. Allowed: after pip install"):
        tpu.measure(workload())


@pytest.mark.parametrize(
    ("message", "said"),
    [
        # 4.33 and 11.48 times 2 to the 30.
        ("Used 20.08G of 15.75G hbm. Exceeded hbm capacity by 4.33G.", "no, 4.65 GB too much"),
        ("Used 15.76G of 15.75G hbm. Exceeded hbm capacity by 12.00M.", "no, 0.01 GB too much"),
        (
            "Ran out of memory on HBM, the total memory required for HLO temporaries (27.23G) "
            "exceeds available HBM (15.75G).",
            "no, 12.33 GB too much",
        ),
    ],
)
def test_a_step_that_does_not_fit_says_by_how_much(message, said):
    assert tpu._read_failure(f"RESOURCE_EXHAUSTED: {message}") == said


def test_any_other_failure_of_the_compiler_is_said():
    with pytest.raises(UsageError, match="the compiler failed: INTERNAL: no such thing"):
        tpu._read_failure("INTERNAL: no such thing")


def test_published_figures_grow_with_the_generation():
    chips = [tpu.TOPOLOGIES[name].chip for name in ("v4:2x2x1", "v5p:2x2x1", "v6e:2x2")]
    assert sorted(chips, key=lambda chip: chip.flops) == chips
    assert all(chip.source.startswith("cloud.google.com/tpu/docs/") for chip in chips)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed: nox -s tpu."
)
def test_a_small_step_compiles_and_its_ratio_is_to_the_first_method(tmp_path):
    flags = (
        "--what=tpu",
        "--model=cifar_resnet8",
        "--image_size=32",
        "--methods=none,wn",
        f"--output={tmp_path}/a.json",
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, RUNNERS / "benchmark.py", *flags],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (table,) = json.loads((tmp_path / "a.json").read_text())["tables"]
    none, wn = table["rows"]
    assert none["fits"] == wn["fits"] == "yes" and none["moved_ratio"] == 1.0
    assert 1.0 < wn["moved_ratio"] < 1.5 and wn["flops"] > none["flops"] > 0
    assert "nothing ran on a TPU" in done.stdout
