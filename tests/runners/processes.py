"""Runs as a user starts them, in processes of their own."""

import atexit
import functools
import json
import os
import pathlib
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
RUNNERS = HERE.parents[1] / "runners"


# Variables of a run that are read when it begins, and not when Keras is imported.
FORKABLE = {"KERAS_BACKEND", "TF_CONFIG", "XLA_FLAGS"}


def start(script, *flags, largest_file=None, fresh=False, **environment):
    """Starts a script, in a fork of a process that has imported TensorFlow and Keras.

    Args:
        script: Path.
        *flags: Arguments.
        largest_file: A file that it writes ends at this number of bytes, as on a full disk.
        fresh: Whether it runs in a new process, as when a user starts it, which takes longer.
        **environment: Variables. Those that are read by imports need a new process, and are to be
            given here.

    Returns:
        `subprocess.Popen`, or a `Fork`, which has those of its methods that are used here.
    """
    # What TensorFlow Datasets set in this process would bring TensorFlow's messages back.
    inherited = {
        name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"
    }
    changed = {name for name, value in environment.items() if value != inherited.get(name)}
    environment = {**inherited, **environment}
    backend = environment.get("KERAS_BACKEND", "tensorflow")
    if not fresh and changed <= FORKABLE and backend in ("tensorflow", "jax"):
        return Fork(script, flags, environment, largest_file, _server(backend))
    # A test run in the background ignores Ctrl-C, and a process that it starts would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, script, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment,
            preexec_fn=None
            if largest_file is None
            else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file)),
        )
    finally:
        signal.signal(signal.SIGINT, before)


class Fork:
    """A run in a fork of a server, with the methods of `subprocess.Popen` that are used here."""

    def __init__(self, script, flags, environment, largest_file, server):
        self.returncode = None
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(server)
        reads, writes = zip(*(os.pipe() for _ in range(2)), strict=True)
        asked = {
            "script": os.fspath(script),
            "arguments": list(flags),
            "folder": os.getcwd(),
            "environment": environment,
            "largest_file": largest_file,
        }
        socket.send_fds(self._connection, [json.dumps(asked).encode()], writes)
        for file in writes:
            os.close(file)
        self._answers = self._connection.makefile()
        self.pid = int(self._answers.readline())
        # Read while it runs, so that a full pipe stops nothing.
        self._texts = ["", ""]
        self._readers = [
            threading.Thread(target=self._read, args=(place, file), daemon=True)
            for place, file in enumerate(reads)
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, place, file):
        with open(file, encoding="utf-8", errors="surrogateescape") as text:
            self._texts[place] = text.read()

    def poll(self):
        self._wait(0)
        return self.returncode

    def _wait(self, timeout):
        if self.returncode is None and select.select([self._connection], [], [], timeout)[0]:
            answer = self._answers.readline()
            self._answers.close()
            self._connection.close()
            if not answer:
                raise RuntimeError(f"The server's process for process {self.pid} has gone.")
            self.returncode = int(answer)

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout=None):
        self._wait(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout)
        for reader in self._readers:
            reader.join(timeout)
        return tuple(self._texts)


@functools.cache
def _server(backend):
    """The socket of a server whose forks have imported this backend."""
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "socket")
    process = subprocess.Popen(
        [sys.executable, HERE / "fork_server.py", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # As the runners set it.
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=HERE.parents[1],
    )

    def end():
        process.communicate()
        shutil.rmtree(folder)

    atexit.register(end)
    if process.stdout.readline() != b"ready\n":
        raise RuntimeError(f"{HERE / 'fork_server.py'} did not start.")
    return path


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
