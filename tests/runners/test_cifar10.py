"""`runners/cifar10.py` as a user starts it."""

import json

import pytest

from tests.runners.processes import RUNNERS, finish

CIFAR = RUNNERS / "cifar10.py"


@pytest.mark.slow
def test_data_that_are_not_there_are_said_in_one_line(tmp_path):
    code, _, err = finish(
        CIFAR, "--norm=wn", f"--data_dir={tmp_path}", f"--model_dir={tmp_path}/run"
    )
    assert code == 2
    assert (
        f"cifar10.py: error: --data_dir={tmp_path}: cifar10 is not prepared." in err
        and "Traceback" not in err
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_trains_a_net_for_small_images_by_default(tmp_path):
    flags = (
        "--norm=bn",
        "--use_synthetic_data",
        "--dry_run",
        "--batch_size=8",
        f"--model_dir={tmp_path}/run",
    )
    # In a new process, as a user starts it.
    code, out, err = finish(CIFAR, *flags, fresh=True)
    assert code == 0, err
    assert "Run: cifar_resnet20, batch normalization (--norm=bn)" in out
    assert json.loads((tmp_path / "run/config.json").read_text())["flags"]["dataset"] == "cifar10"
