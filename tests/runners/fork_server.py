"""Runs scripts in forks of a process that has imported what they need.

Importing TensorFlow and Keras takes most of the time of a short run. `processes.py` starts
`python tests/runners/fork_server.py SOCKET`, and connects once for each run. It sends a JSON object
of the script, its arguments, its environment and the size of its largest file, with the two files
for standard output and standard error. It gets back the number of the process, and its exit status
when it ends. The server ends with its standard input.
"""

import contextlib
import importlib
import json
import os
import resource
import runpy
import select
import signal
import socket
import sys
import traceback

# Modules that the runners import. None of them may run an operation when it is imported, because a
# fork has no threads but its first.
MODULES = (
    "keras_wn",
    "keras_wn.methods",
    "keras_wn.models",
    "keras_wn.training.command_line",
    "keras_wn.training.loop",
    "keras_wn.training.signal_report",
    "keras_wn.study.command",
    "keras_wn.benchmarks.command",
    "matplotlib.backends.backend_agg",
    "sklearn.datasets",
    "tensorflow_datasets",
    "tensorflow",
    "keras_wn.training.step_tensorflow",
    "keras_wn.training.multi_worker",
    "jax",
    "keras_wn.training.step_jax",
)


def preload():
    """Imports what this environment has, for Keras' backend."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    others = {"tensorflow": ("jax",), "jax": ("tensorflow", "multi_worker")}[backend]
    for module in MODULES:
        if not any(other in module for other in others):
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(module)


def run(script, arguments, folder, environment, largest_file):
    """Runs a script as Python does. Returns its exit status."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = [script, *arguments]
    sys.path.insert(0, os.path.dirname(script))
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def serve(connection):
    """Runs a script in a fork, and tells of it."""
    message, files, *_ = socket.recv_fds(connection, 2**20, 2)
    asked = json.loads(message)
    process = os.fork()
    if not process:
        connection.close()
        for target, file in enumerate(files, start=1):
            os.dup2(file, target)
            os.close(file)
        code = 1
        try:
            code = run(**asked)
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    for file in files:
        os.close(file)
    connection.sendall(f"{process}\n".encode())
    _, status = os.waitpid(process, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def main():
    preload()
    # Ctrl-C is for the tests. They end the server.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = listener.accept()
            with connection:
                if not os.fork():
                    listener.close()
                    serve(connection)
                    os._exit(0)
            # The processes of connections that have ended.
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    main()
