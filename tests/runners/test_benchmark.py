"""`runners/benchmark.py` as a user starts it."""

import json

import pytest

from tests.runners.processes import RUNNERS, finish, finish_each

BENCHMARK = RUNNERS / "benchmark.py"
SMALL = ("--model=cifar_resnet8", "--image_size=32", "--batch_size=8", "--rounds=1")
# What is compared, the baseline first.
NAMES = {
    "step --methods=none,wn_trelu:weighted": ["none", "wn_trelu:weighted"],
    "memory --methods=none,wn": ["none", "wn"],
    "replicas --methods=none,wn": [*["1 replica", "2 replicas"] * 2, *["none", "wn"] * 2],
    "input": ["bare decode and crop", "pipeline"],
}


@pytest.mark.slow
def test_bad_input_is_one_line_and_exit_status_2():
    messages = {
        "--what=everything": "flag --what=everything: value should be one of <step|",
        "--rounds=0": "flag --rounds=0",
        "--methods=bnn": "--methods=bnn: unknown. Allowed: none, ",
        "--methods=wn:mean": "--methods=wn:mean: no such join. Allowed",
        "--model=vgg": "--model=vgg: unknown. Allowed: resnet18, ",
        "--batch_size=8,0": "--batch_size=0: not allowed.",
        "--output=/nowhere/a.json": "--output=/nowhere/a.json: no such folder.",
        "--what=tpu": "--what=tpu with KERAS_BACKEND=tensorflow: not supported.",
    }
    answers = finish_each(BENCHMARK, [[flag] for flag in messages])
    for (flag, message), (code, out, err) in zip(messages.items(), answers, strict=True):
        lines = [line for line in err.splitlines() if line.startswith("benchmark.py: error: ")]
        assert code == 2 and len(lines) == 1 and message in lines[0], flag
        assert "Traceback" not in err and "ratio" not in out, flag


@pytest.mark.slow
@pytest.mark.parametrize("what", list(NAMES))
def test_prints_tables_and_writes_their_figures(what, tmp_path):
    code, out, err = finish(
        BENCHMARK, *f"--what={what}".split(), *SMALL, f"--output={tmp_path}/figures.json"
    )
    assert code == 0, err
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["what"] == what.split()[0] and figures["backend"] == "tensorflow"
    assert [row["name"] for table in figures["tables"] for row in table["rows"]] == NAMES[what]
    for table in figures["tables"]:
        assert table["title"] in out.splitlines()
        assert table["rows"][0]["ratio"] == 1.0
        assert all(0 < row["low"] <= row["ratio"] <= row["high"] for row in table["rows"])


@pytest.mark.slow
def test_every_network_and_batch_size_has_a_table(tmp_path):
    sizes = (
        "--model=cifar_resnet8,cifar_resnet14",
        "--batch_size=4,8",
        "--image_size=32",
        "--rounds=1",
    )
    # In a new process, as a user starts it.
    code, out, err = finish(BENCHMARK, "--methods=none", *sizes, fresh=True)
    assert code == 0, err
    titles = [
        line.split(", ")[:2] for line in out.splitlines() if line.startswith("training step: ")
    ]
    networks = [f"training step: cifar_resnet{depth}" for depth in (8, 8, 14, 14)]
    assert titles == [
        [network, batch]
        for network, batch in zip(networks, ["batch 4", "batch 8"] * 2, strict=True)
    ]
