"""Waits for all processes of a run, before TensorFlow starts.

TensorFlow itself would wait silently for a missing process.
"""

import contextlib
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keras_wn.errors import UsageError
from keras_wn.training.flag_fields import shortened

_PAUSE = 0.1
# Seconds and bytes of an exchange. A caller that needs more is no process of the run.
_ANSWER = 5.0
_LONGEST = 2**16
# If processes differ, seconds in which the others learn of it as well.
_GRACE = 2.0
# Callers that are answered at the same time.
_CALLERS = 64


def meet(
    addresses: Sequence[str], number: int, timeout: float, facts: Mapping[str, str] | None = None
) -> None:
    """Waits until all processes of a run have called this with the same addresses.

    Two processes have met once each has reached the other. Each listens at its own address until
    it has met all others: by then no other process needs the port, and TensorFlow can have it.

    Args:
        addresses: Sequence of `host:port`, one a process.
        number: Integer, the index of this process.
        timeout: Positive float, in seconds.
        facts: Texts by name that must be the same in all processes, such as the flags.

    Raises:
        UsageError: If this process cannot listen at its address, if another process was started
            with other addresses or facts, or if a process has not come in time: all of those that
            have not are named.
    """
    meeting = _Meeting(list(addresses), number, dict(facts or {}))
    deadline = time.monotonic() + timeout
    with _listening(addresses[number], meeting), meeting.calling(deadline):
        while not meeting.is_over() and time.monotonic() < deadline:
            if meeting.differences:
                deadline = min(deadline, time.monotonic() + _GRACE)
            time.sleep(_PAUSE)
    if meeting.differences:
        raise UsageError(f"TF_CONFIG: {'; '.join(meeting.differences.values())}.")
    if not meeting.is_over():
        raise UsageError(
            f"TF_CONFIG: after {timeout:g} s, {'; '.join(meeting.missing())}. "
            f"Allowed: to start all {len(addresses)} processes within {timeout:g} s, at addresses "
            "that all of them reach."
        )


class _Meeting:
    """The processes that this one has reached, and those that have called it.

    Attributes:
        differences: Dict from the number of a process to a text on how its start differs from this
            one's.
    """

    def __init__(self, addresses, number, facts):
        self._addresses, self._number = addresses, number
        digest = hashlib.sha256(json.dumps(addresses).encode()).hexdigest()
        self._own = {"addresses": digest, "number": number, "facts": facts}
        others = set(range(len(addresses))) - {number}
        self._unreached, self._unheard = set(others), set(others)
        self._strangers: set[str] = set()
        self.differences: dict[int, str] = {}

    def is_over(self):
        """Whether all others have been reached, and have called."""
        return not self._unreached and not self._unheard

    def missing(self):
        """Texts that name the processes that have not come."""
        missing = [f"{self._addresses[i]} did not answer" for i in sorted(self._unreached)]
        missing += [
            f"{self._addresses[i]} answered but did not call here"
            for i in sorted(self._unheard - self._unreached)
        ]
        return missing + [
            f"a process on {host} has other addresses" for host in sorted(self._strangers)
        ]

    @contextlib.contextmanager
    def calling(self, deadline: float) -> Iterator[None]:
        """Scope in which the other processes are called until they answer, each by a thread."""
        stop = threading.Event()

        def call(other):
            while not stop.is_set() and other in self._unreached:
                seconds = min(_ANSWER, deadline - time.monotonic())
                if seconds > 0:
                    self._call(other, seconds)
                stop.wait(_PAUSE)

        # Nothing waits for these threads, because the look-up of a name may take longer than the
        # whole meeting.
        for other in list(self._unreached):
            threading.Thread(target=call, args=(other,), daemon=True).start()
        try:
            yield
        finally:
            stop.set()

    def _call(self, other, seconds):
        """Calls the process at an address, and compares its answer with this process."""
        host, _, port = self._addresses[other].rpartition(":")
        ends = time.monotonic() + seconds
        try:
            address = host.strip("[]"), int(port)
            with socket.create_connection(address, seconds) as connection:
                connection.sendall(_line(self._own))
                found = _read_line(connection, ends)
        except (OSError, UnicodeError, ValueError):
            return  # The process does not listen yet, or the address is another program's.
        if found.get("number") != other or not isinstance(found.get("facts"), dict):
            return
        if found.get("addresses") != self._own["addresses"]:
            self.differences[other] = (
                f"a process on {self._addresses[other]} has other addresses than "
                f"{', '.join(self._addresses)}. Allowed: the same in all"
            )
        elif found["facts"] != self._own["facts"]:
            self.differences[other] = (
                f"{self._addresses[other]} was started otherwise: "
                f"{_differences(self._own['facts'], found['facts'])}. Allowed: the same in all"
            )
        self._unreached.discard(other)

    def answer(self, connection, host):
        """Notes a caller and sends it the facts of this process. Ignores other programs."""
        try:
            caller = _read_line(connection, time.monotonic() + _ANSWER)
            if caller.get("addresses") == self._own["addresses"]:
                connection.sendall(_line(self._own))
                if type(caller.get("number")) is int:
                    self._unheard.discard(caller["number"])
            elif isinstance(caller.get("addresses"), str):
                connection.sendall(_line({**self._own, "facts": {}}))
                self._strangers.add(host)
        except (OSError, ValueError):
            return  # It is another program, or a process that will call again.


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _read_line(connection, ends) -> dict[str, Any]:
    """The JSON object on a connection's first line. Raises `ValueError` for anything else."""
    data = b""
    while b"\n" not in data:
        seconds = ends - time.monotonic()
        if seconds <= 0 or len(data) > _LONGEST:
            raise ValueError("it takes too long")
        connection.settimeout(seconds)
        part = connection.recv(4096)
        if not part:
            raise ValueError("it ends too early")
        data += part
    try:
        found = json.loads(data.split(b"\n")[0])
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


def _differences(own, found):
    names = [name for name in sorted({*own, *found}, key=str) if own.get(name) != found.get(name)]
    return ", ".join(
        f"{name} is {shortened(found.get(name))} there and {shortened(own.get(name))} here"
        for name in names
    )


@contextlib.contextmanager
def _listening(address, meeting):
    server = _server(address)
    server.settimeout(_PAUSE)
    stop, callers = threading.Event(), threading.Semaphore(_CALLERS)
    connections = set()

    def answer(connection, host):
        with callers, connection:
            meeting.answer(connection, host)
            connections.discard(connection)

    def listen():
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection, (host, *_) = server.accept()
                connections.add(connection)
                # A thread each, so that a silent caller does not keep the others waiting.
                threading.Thread(target=answer, args=(connection, host), daemon=True).start()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    with server:
        try:
            yield
        finally:
            stop.set()
            thread.join()
            for connection in list(connections):
                connection.close()


def _server(address):
    """A socket that listens at an address of this machine, and at no other one."""
    host, _, port = address.rpartition(":")
    problem = None
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        found, problem = [], error
    for family, *_, place in found:
        try:
            return socket.create_server(place[:2], family=family, backlog=512)
        except OSError as error:
            problem = error
    number = getattr(problem, "errno", None)
    reason = os.strerror(number) if number and number > 0 else str(problem)
    raise UsageError(
        f"TF_CONFIG: {address}, this process' own: {reason}. Allowed: a free port at an address of "
        "this machine."
    ) from problem
