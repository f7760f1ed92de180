"""Runs as a user starts them, in processes of their own."""

import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
RUNNERS = HERE.parents[1] / "runners"


def start(script, *flags, largest_file=None, **environment):
    """Starts a script. A file that it writes ends at `largest_file` bytes, as on a full disk."""
    # What TensorFlow Datasets set in this process would bring TensorFlow's messages back.
    inherited = {
        name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"
    }
    # A test run in the background ignores Ctrl-C, and a process that it starts would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, script, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**inherited, **environment},
            preexec_fn=None
            if largest_file is None
            else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file)),
        )
    finally:
        signal.signal(signal.SIGINT, before)


def finish(script, *flags, **options):
    """Exit status, standard output and standard error of a run. The options are `start`'s."""
    process = start(script, *flags, **options)
    out, err = process.communicate(timeout=500)
    return process.returncode, out, err


def finish_each(script, commands):
    """Runs a script once for each list of flags. Returns what `finish` does for each of them."""
    code, out, err = finish(HERE / "each.py", str(script), json.dumps(list(commands)))
    if code:
        raise RuntimeError(err)
    return json.loads(out.splitlines()[-1])


def wait_for(process, folder, step):
    """Waits until a run's folder has a checkpoint of `step` or later, or the process has ended."""
    deadline = time.monotonic() + 240
    while process.poll() is None and newest_step(folder) < step:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no checkpoint of step {step} in {folder}")
        time.sleep(0.02)


def newest_step(folder):
    """Step of the newest checkpoint in a run's folder; -1 without one."""
    return max(
        (int(path.name[5:13]) for path in pathlib.Path(folder, "checkpoints").glob("step-*")),
        default=-1,
    )
