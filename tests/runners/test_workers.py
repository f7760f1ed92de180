"""Two real processes through the runner, and what is left of them when one is killed."""

import contextlib
import json
import socket
import time

import keras
import numpy as np
import pytest

import keras_wn  # noqa: F401  The classes that a saved model names.
from tests.runners.processes import HERE, finish, newest_step, start, wait_for

FLAGS = ("--norm=wn", "--checkpoint_steps=2", "--train_epochs=4")


def weights(folder):
    return [np.array(v) for v in keras.saving.load_model(f"{folder}/model.keras").weights]


def free_addresses(count):
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]


def start_workers(*flags, own=((), ())):
    """Starts two workers with the same flags, and with some of their own."""
    addresses = free_addresses(2)
    tasks = [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}} for i in range(2)
    ]
    return [
        start(
            HERE / "tiny.py",
            *FLAGS,
            "--strategy=multi_worker",
            *flags,
            *more,
            TF_CONFIG=json.dumps(task),
        )
        for task, more in zip(tasks, own, strict=True)
    ]


def end(processes):
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    return outputs


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Folder of a run of two workers that nothing stopped."""
    folder = tmp_path_factory.mktemp("workers") / "run"
    end(start_workers(f"--model_dir={folder}"))
    return folder


@pytest.mark.slow
def test_two_workers_are_one_process(undisturbed, tmp_path):
    code, _, err = finish(HERE / "tiny.py", *FLAGS, f"--model_dir={tmp_path}/one")
    assert code == 0, err
    for one, two in zip(weights(tmp_path / "one"), weights(undisturbed), strict=True):
        # 80 steps: rounding has grown from the 1e-6 of the few in
        # tests/training/test_multi_worker.py.
        np.testing.assert_allclose(one, two, atol=1e-4, rtol=0)
    results = [
        json.loads((folder / "result.json").read_text())
        for folder in (tmp_path / "one", undisturbed)
    ]
    # 1,297 and 250 images divide among two workers so that each is scored once.
    for split, figures in results[0]["final"].items():
        assert results[1]["final"][split] == pytest.approx(figures, rel=1e-4), split


@pytest.mark.kill
@pytest.mark.parametrize("victim", [0, 1], ids=["chief", "worker"])
def test_run_whose_process_is_killed_ten_times_ends_as_if_it_were_not(
    undisturbed, tmp_path, victim
):
    folder, rng, resume = tmp_path / "run", np.random.default_rng(victim), []
    for _ in range(10):
        processes = start_workers(f"--model_dir={folder}", *resume)
        wait_for(processes[0], folder, newest_step(folder) + 1)
        time.sleep(rng.uniform(0, 0.1))
        assert processes[victim].poll() is None
        processes[victim].kill()
        # As a cluster's scheduler does: a run that has lost a process is ended whole, and started
        # anew.
        processes[1 - victim].kill()
        for process in processes:
            process.communicate()
        resume = ["--resume"]
    end(start_workers(f"--model_dir={folder}", "--resume"))
    for a, b in zip(weights(folder), weights(undisturbed), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_worker_that_never_comes_is_named(tmp_path):
    addresses = free_addresses(2)
    task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 0}}
    flags = ("--strategy=multi_worker", "--worker_timeout=2", f"--model_dir={tmp_path}/run")
    code, _, err = finish(HERE / "tiny.py", *flags, TF_CONFIG=json.dumps(task))
    assert (
        code == 2 and f"after 2 s, {addresses[1]} did not answer" in err and "Traceback" not in err
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_processes_that_differ_are_all_told_in_one_line(tmp_path):
    """In a flag; and in the folder, which nothing but the files in it tells."""
    cases = {
        "flags": (("--seed=1", "--seed=2"), "was started otherwise: --seed is "),
        "folders": (
            (f"--model_dir={tmp_path}/a", f"--model_dir={tmp_path}/b"),
            "process 1 has another one than process 0",
        ),
    }
    for name, (flags, message) in cases.items():
        processes = start_workers(f"--model_dir={tmp_path}/{name}", own=[(flag,) for flag in flags])
        for process in processes:
            _, err = process.communicate(timeout=120)
            lines = [line for line in err.splitlines() if "error: " in line]
            assert process.returncode == 2 and "Traceback" not in err, (name, err)
            assert len(lines) == 1 and message in lines[0], (name, err)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1], ids=["chief", "worker"])
def test_a_process_that_is_lost_ends_the_other_by_one_line(tmp_path, victim):
    processes = start_workers(f"--model_dir={tmp_path}/run", "--train_epochs=100000")
    wait_for(processes[0], tmp_path / "run", 2)
    assert [process.poll() for process in processes] == [None, None]
    processes[victim].kill()
    _, err = processes[1 - victim].communicate(timeout=120)
    processes[victim].communicate()
    assert processes[1 - victim].returncode == 1, err
    assert "Traceback" not in err, err
    assert err.splitlines()[-1] == (
        f"tiny.py: process {1 - victim} of 2 has lost process {victim}. Start all processes "
        "again, with --resume."
    )
