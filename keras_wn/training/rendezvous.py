"""Waits for all processes of a run, before TensorFlow starts.

TensorFlow itself would wait for a missing process without a word.
"""

import contextlib
import hashlib
import json
import os
import socket
import threading
import time

from keras_wn.training.errors import UsageError

_PAUSE = 0.1
# One exchange with a process that is there.
_ANSWER = 5.0


def meet(addresses: list[str], number: int, timeout: float) -> None:
    """Waits until all processes of a run have called this with the same addresses.

    A process is there for another if it has called at its address, and if it has been reached at
    its own. Each listens at its own address until both hold for all others: by then no other
    process needs the port, and TensorFlow can have it.

    Args:
        addresses: List of `host:port`, one a process.
        number: Integer, the index of this process.
        timeout: Positive float, in seconds.

    Raises:
        UsageError: If this process' port is taken, another process was started with other
            addresses, or a process has not come in time: all of those that have not are named.
    """
    own = {
        "addresses": hashlib.sha256(json.dumps(addresses).encode()).hexdigest(),
        "number": number,
    }
    unreached = set(range(len(addresses))) - {number}
    calls = _Calls(own, unreached)
    deadline = time.monotonic() + timeout
    with _listening(addresses[number], calls):
        while (unreached or calls.unheard) and time.monotonic() < deadline:
            for other in sorted(unreached):
                if _call(addresses[other], own, min(_ANSWER, timeout)):
                    unreached.discard(other)
            if calls.stranger:
                raise UsageError(
                    f"TF_CONFIG: a process on {calls.stranger} has other addresses than "
                    f"{', '.join(addresses)}. "
                    "Allowed: the same in all."
                )
            time.sleep(_PAUSE)
    if unreached or calls.unheard:
        missing = [f"{addresses[i]} did not answer" for i in sorted(unreached)]
        missing += [
            f"{addresses[i]} answered but did not call here"
            for i in sorted(calls.unheard - unreached)
        ]
        raise UsageError(
            f"TF_CONFIG: after {timeout:g} s, {'; '.join(missing)}. "
            f"Allowed: to start all {len(addresses)} processes within {timeout:g} s, at addresses "
            "that all of them reach."
        )


class _Calls:
    """Who has called here, and the answers to them."""

    def __init__(self, own, others):
        self._own = own
        self.unheard = set(others)
        self.stranger = None

    def answer(self, connection, host):
        connection.settimeout(_ANSWER)
        try:
            caller = json.loads(connection.makefile().readline())
            if caller["addresses"] != self._own["addresses"]:
                self.stranger = host
                return
            connection.sendall(b"here\n")
            self.unheard.discard(caller["number"])
        except (OSError, ValueError, KeyError, TypeError):
            return  # Nothing of ours, or it will call again.


@contextlib.contextmanager
def _listening(address, calls):
    port = int(address.rpartition(":")[2])
    dual = socket.has_dualstack_ipv6()
    try:
        family = socket.AF_INET6 if dual else socket.AF_INET
        server = socket.create_server(("", port), family=family, dualstack_ipv6=dual, backlog=512)
    except OSError as error:
        raise UsageError(
            f"TF_CONFIG: {address}, this process' own: {os.strerror(error.errno)}. Allowed: a "
            "free port."
        ) from error
    server.settimeout(_PAUSE)
    stop = threading.Event()

    def listen():
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection, (host, *_) = server.accept()
                with connection:
                    calls.answer(connection, host)

    # In a thread: two processes that call each other would wait for each other's answer.
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    with server:
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _call(address, own, timeout):
    """Tells the process at an address of this one; whether it is there."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout) as connection:
            connection.sendall(json.dumps(own).encode() + b"\n")
            return connection.makefile().readline() == "here\n"
    except OSError:
        return False
