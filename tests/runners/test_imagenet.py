"""What a user does at the command line."""

import json

import pytest

from tests.runners import processes

RUNNER = processes.RUNNERS / "imagenet.py"


def finish(*flags):
    return processes.finish(RUNNER, *flags)


def test_dry_run_ends_with_a_table_and_all_files(tmp_path):
    """In a new process, as a user starts it."""
    flags = ("--norm=wn_trelu", "--model=cifar_resnet8", "--image_size=16", "--dry_run")
    code, out, err = processes.finish(RUNNER, *flags, f"--model_dir={tmp_path}/run", fresh=True)
    assert code == 0, err
    headings, numbers = out.splitlines()[-4:-2]
    assert headings.split() == "method train top-1 validation top-1 test top-1 gap images/s".split()
    assert numbers.split()[0] == "wn_trelu"
    assert out.splitlines()[-1] == f"Files: {tmp_path}/run"
    assert json.loads((tmp_path / "run/result.json").read_text())["status"] == "finished"


@pytest.mark.parametrize(
    "flag, message",
    [
        (
            "--norm=bnn",
            "--norm=bnn: unknown. Allowed: none, bn, wn, normprop, wn_trelu, wn_robust, wn_mobn, "
            "bwn, cwn, ws, gn, nf, fixup, cwn_trelu, cwn_trelu_skip, rescale, nf_fold, sphere.",
        ),
        ("--nrom=wn", "Unknown command line flag 'nrom'. Did you mean: norm ?"),
        ("--model_dir=/proc/run", "--model_dir=/proc/run: cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(flag, message):
    code, out, err = finish(flag)
    lines = [line for line in err.splitlines() if line.startswith("imagenet.py: error: ")]
    assert code == 2 and len(lines) == 1 and message in lines[0]
    assert "Traceback" not in err and "Epoch" not in out


def test_help_lists_the_methods():
    code, out, _ = finish("--help")
    assert code == 1  # As absl does.
    text = " ".join(out.split())
    assert (
        "Method. Allowed: none, bn, wn, normprop, wn_trelu, wn_robust, wn_mobn, bwn, cwn," in text
    )


@pytest.mark.slow
def test_two_devices_say_nothing_of_their_making(tmp_path):
    flags = ("--dry_run", "--virtual_devices=2", f"--model_dir={tmp_path}/run")
    code, out, err = processes.finish(processes.HERE / "tiny.py", *flags)
    assert code == 0, err
    assert "Devices: 2" in out
    assert "INFO:tensorflow" not in out + err and "mirrored_strategy.py" not in out + err
