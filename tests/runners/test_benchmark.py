"""`runners/benchmark.py` as a user starts it."""

import json

import pytest

from tests.runners.processes import RUNNERS, finish

BENCHMARK = RUNNERS / "benchmark.py"
# What is compared, the baseline first.
NAMES = {
    "runner": ["bare step", "runner"],
    "replicas": ["1 replica", "2 replicas"],
    "input": ["bare decode and crop", "pipeline"],
    "checkpoint": ["step", "checkpoint"],
}


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--what=everything", "flag --what=everything: value should be one of <runner|replicas|input|checkpoint>"),
        pytest.param("--rounds=1", "flag --rounds=1", marks=pytest.mark.slow),
        pytest.param("--norm=bnn", "flag --norm=bnn", marks=pytest.mark.slow),
        pytest.param("--output=/nowhere/a.json", "--output=/nowhere/a.json: no such folder.", marks=pytest.mark.slow),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(flag, message):
    code, out, err = finish(BENCHMARK, flag)
    lines = [line for line in err.splitlines() if line.startswith("benchmark.py: error: ")]
    assert code == 2 and len(lines) == 1 and message in lines[0]
    assert "Traceback" not in err and "ratio" not in out


@pytest.mark.slow
@pytest.mark.parametrize("what", list(NAMES))
def test_prints_a_table_and_writes_its_figures(what, tmp_path):
    small = ("--model=cifar_resnet8", "--image_size=32", "--batch_size=8", "--rounds=3")
    code, out, err = finish(BENCHMARK, f"--what={what}", *small, f"--output={tmp_path}/figures.json")
    assert code == 0, err
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["what"] == what
    assert [row["name"] for row in figures["rows"]] == NAMES[what]
    assert figures["rows"][0]["ratio"] == 1.0
    assert all(0 < row["low"] <= row["ratio"] <= row["high"] and row["seconds"] > 0 for row in figures["rows"])
    for row in figures["rows"]:
        assert any(line.startswith(row["name"]) and f"{row['ratio']:.3f}" in line for line in out.splitlines())
    assert ("One checkpoint in 500 steps takes" in out) == (what == "checkpoint")
