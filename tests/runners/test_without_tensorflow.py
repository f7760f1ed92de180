"""The runners and the study on JAX, in an environment that has no TensorFlow."""

import importlib.util
import json

import pytest

from tests.data.binary_cifar import write_binary
from tests.runners.processes import HERE, RUNNERS, finish

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is not None or importlib.util.find_spec("jax") is None,
    reason="This environment has TensorFlow, or no JAX: `nox -s backend`.",
)


def finish_on_jax(script, *flags, **environment):
    return finish(script, *flags, KERAS_BACKEND="jax", **environment)


def test_a_run_trains_stops_and_goes_on(tmp_path):
    flags = ("--norm=wn_trelu", "--train_epochs=2", f"--model_dir={tmp_path}/run")
    code, out, err = finish_on_jax(HERE / "tiny.py", *flags)
    assert code == 0, err
    assert "xla_bridge" not in err
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["status"] == "finished" and result["final"]["test"]["top1"] > 0.5
    versions = json.loads((tmp_path / "run/config.json").read_text())["versions"]
    assert "jax" in versions and "tensorflow" not in versions
    # As if it had been stopped after its first epoch.
    max((tmp_path / "run/checkpoints").iterdir()).unlink()
    (tmp_path / "run/result.json").unlink()
    code, out, err = finish_on_jax(HERE / "tiny.py", *flags, "--resume")
    assert code == 0, err
    assert "Continuing after step 20." in out
    assert json.loads((tmp_path / "run/result.json").read_text())["final"] == result["final"]


def test_random_images_train(tmp_path):
    flags = ("--use_synthetic_data", "--image_size=8", "--batch_size=4", "--dry_run")
    code, _, err = finish_on_jax(HERE / "tiny.py", *flags, f"--model_dir={tmp_path}/run")
    assert code == 0, err


def test_cifar_is_read_from_its_binary_files(tmp_path):
    write_binary(tmp_path, "cifar10", 20)
    flags = (f"--data_dir={tmp_path}", "--model=cifar_resnet8", "--batch_size=8", "--dry_run")
    flags += ("--allow_partial",)
    code, out, err = finish_on_jax(
        RUNNERS / "cifar10.py", *flags, "--norm=none", f"--model_dir={tmp_path}/run"
    )
    assert code == 0, err
    assert "Data: CIFAR-10: 90 training, 10 validation, 20 test images." in out


@pytest.mark.parametrize(
    "flags, message",
    [
        ((), "cifar10.py: error: --data_dir={}: cifar10 is not here, and tensorflow"),
        (
            ("--dataset=imagenet",),
            "cifar10.py: error: --data_dir={}: TensorFlow decodes the images",
        ),
    ],
)
def test_data_that_need_tensorflow_say_so(flags, message, tmp_path):
    code, _, err = finish_on_jax(RUNNERS / "cifar10.py", f"--data_dir={tmp_path}", *flags)
    assert code == 2
    assert err.startswith(message.format(tmp_path)) and err.count("\n") == 1, err


def test_the_study_trains_in_lanes(tmp_path):
    flags = ("--budget=tiny", "--methods=none", "--suite=accuracy", "--seeds=2", "--jobs=1")
    flags += ("--train_epochs=2", "--lanes=2", f"--out={tmp_path}/study")
    # These steps are taken often enough to be worth the compiler's work, which `nox` leaves out.
    code, out, err = finish_on_jax(RUNNERS / "compare.py", *flags, XLA_FLAGS="")
    assert code == 0, err
    assert (tmp_path / "study/report.html").is_file() and "C6" in out
    lines = (tmp_path / "study/trials.jsonl").read_text().splitlines()
    trials = [record for record in map(json.loads, lines) if record["kind"] == "trial"]
    assert len(trials) == 8 and not any(trial["error"] for trial in trials)
