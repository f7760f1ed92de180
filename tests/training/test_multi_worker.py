"""Training in several processes of this machine."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from keras_wn.errors import UsageError
from keras_wn.training import multi_worker, rendezvous, strategies
from tests.training import small_step

FLAGS = {"norm": "wn", "accumulation": 2, "agc": 0.5, "ema": 0.5}
ROOT = pathlib.Path(__file__).parents[2]


def free_addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return addresses


@pytest.mark.slow
def test_two_processes_are_one(tmp_path):
    addresses = free_addresses(2)
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {
            **os.environ,
            "TF_CONFIG": json.dumps(config),
            "PYTHONPATH": str(ROOT),
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        # XLA compiles one of them only: all compute the same.
        flags = {**FLAGS, "xla": ("on", "off")[index]}
        command = [
            sys.executable,
            small_step.__file__,
            str(tmp_path),
            "multi_worker",
            json.dumps(flags),
        ]
        with open(tmp_path / f"{index}.log", "w") as log:
            processes.append(
                subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
            )
    try:
        for index, process in enumerate(processes):
            assert process.wait(timeout=120) == 0, (tmp_path / f"{index}.log").read_text()[-3000:]
    finally:
        for process in processes:
            process.kill()
    alone = small_step.make(**FLAGS)
    sums = small_step.train(alone)
    first, second = (dict(np.load(tmp_path / f"{index}-0.npz")) for index in range(2))
    expected = {**small_step.values(alone), "sums": sums}
    assert len(first) == len(expected) + 1
    np.testing.assert_allclose(first["sums"], sums, rtol=1e-5)
    for (name, value), found in zip(
        small_step.values(alone).items(), list(first.values())[2:], strict=True
    ):
        np.testing.assert_allclose(found, value, atol=2e-6, err_msg=name)
    for one, two in zip(first.values(), second.values(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_processes_meet():
    addresses = free_addresses(3)
    errors = []

    def come(number):
        try:
            rendezvous.meet(addresses, number, 20.0)
        except UsageError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=come, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for address in addresses:  # The ports are free again.
        socket.create_server(("127.0.0.1", int(address.split(":")[1]))).close()


def test_a_process_that_never_comes_is_named(monkeypatch):
    addresses = free_addresses(2)
    config = {
        "cluster": {"chief": addresses[:1], "worker": addresses[1:]},
        "task": {"type": "chief", "index": 0},
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    message = (
        f"after 0.5 s, {addresses[1]} did not answer. "
        "Allowed: to start all 2 processes within 0.5 s"
    )
    with pytest.raises(UsageError, match=message):
        multi_worker.strategy(timeout=0.5)


def test_another_program_at_an_address_is_no_process_of_the_run():
    addresses = free_addresses(2)
    with socket.create_server(("127.0.0.1", int(addresses[1].split(":")[1]))):
        with pytest.raises(UsageError, match=f"{addresses[1]} did not answer"):
            rendezvous.meet(addresses, 0, 0.5)
        with pytest.raises(
            UsageError, match=f"{addresses[1]}, this process' own: .*in use. Allowed: a free port"
        ):
            rendezvous.meet(addresses, 1, 0.5)


def test_processes_with_other_addresses_are_refused():
    addresses = free_addresses(2)

    def come():
        with pytest.raises(UsageError, match="has other addresses|did not answer"):
            rendezvous.meet(addresses, 1, 2.0)

    thread = threading.Thread(target=come)
    thread.start()
    message = f"has other addresses than {addresses[0]}, {addresses[1]}, a:1. Allowed: the same"
    with pytest.raises(UsageError, match=message):
        rendezvous.meet([*addresses, "a:1"], 0, 10.0)
    thread.join()


def test_processes_with_other_flags_are_all_told_the_difference():
    addresses, told = free_addresses(2), []

    def come(number):
        with pytest.raises(UsageError) as error:
            rendezvous.meet(addresses, number, 20.0, {"--seed": str(number), "code": "a"})
        told.append(str(error.value))

    threads = [threading.Thread(target=come, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == sorted(
        f"TF_CONFIG: {addresses[1 - i]} was started otherwise: --seed is {1 - i} there and {i} "
        "here. Allowed: the same in all."
        for i in range(2)
    )


def drip(connection, stop):
    """Answers with one byte at a time, without an end."""
    with contextlib.suppress(OSError):
        while not stop.is_set():
            connection.send(b"x")
            time.sleep(0.01)


def flood(connection, stop):
    with contextlib.suppress(OSError):
        while not stop.is_set():
            connection.send(bytes(10_000))


def say(line):
    def act(connection, stop):
        with contextlib.suppress(OSError):
            connection.sendall(line)
            stop.wait()

    return act


STRANGERS = {
    "silent": say(b""),
    "drip": drip,
    "flood": flood,
    "here": say(b"here\n"),
    "list": say(b"[]\n"),
    "nested": say(b"[" * 60_000 + b"\n"),
    "no text": say(b"\xff\xfe\n"),
    "other number": say(b'{"addresses": "x", "number": [], "facts": {}}\n'),
    "other addresses": say(b'{"addresses": "x", "number": 1, "facts": 3}\n'),
}


@pytest.mark.parametrize("act", STRANGERS.values(), ids=STRANGERS)
def test_a_program_that_answers_with_anything_delays_nothing(act):
    addresses, stop = free_addresses(2), threading.Event()
    with socket.create_server(("127.0.0.1", int(addresses[1].split(":")[1]))) as server:
        server.settimeout(0.1)

        def serve():
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = server.accept()
                    with connection:
                        act(connection, stop)

        thread = threading.Thread(target=serve)
        thread.start()
        started = time.monotonic()
        with pytest.raises(UsageError, match=f"after 1 s, {addresses[1]} did not answer"):
            rendezvous.meet(addresses, 0, 1.0)
        assert time.monotonic() - started < 3
        stop.set()
        thread.join()


def test_strangers_that_call_keep_nobody_from_meeting():
    addresses, stop, errors = free_addresses(2), threading.Event(), []

    def come(number):
        try:
            rendezvous.meet(addresses, number, 20.0)
        except UsageError as error:
            errors.append(str(error))

    def call(act):
        host, port = addresses[0].split(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port))) as found:
            act(found, stop)

    first = threading.Thread(target=come, args=(0,))
    first.start()
    strangers = [threading.Thread(target=call, args=(act,)) for act in STRANGERS.values()]
    time.sleep(0.3)
    for stranger in strangers:
        stranger.start()
    time.sleep(0.3)
    started = time.monotonic()
    come(1)
    first.join()
    assert not errors and time.monotonic() - started < 4
    stop.set()
    for stranger in strangers:
        stranger.join()


def test_a_process_listens_at_its_own_address_alone():
    (address,) = free_addresses(1)
    port = int(address.split(":")[1])
    with rendezvous._listening(address, None):
        assert socket.create_server(("127.0.0.2", port)).close() is None
        with pytest.raises(OSError):
            socket.create_server(("127.0.0.1", port))


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_refused(host):
    with pytest.raises(UsageError, match=f"{host}:4242, this process' own: .* of this machine"):
        rendezvous.meet([f"{host}:4242", "127.0.0.1:1"], 0, 1.0)


def config_of(cluster, job="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "TF_CONFIG is not set. Allowed: as"),
        ("{", "TF_CONFIG={: no JSON"),
        ("[" * 10**5, r"TF_CONFIG=\[\[.*: no JSON"),
        ("9" * 10**5, "TF_CONFIG=999.*: no JSON"),
        (config_of({"worker": ["a..b:1"]}), "address 'a..b:1'. Allowed: host:port"),
        (config_of({"worker": [f"{'a' * 300}:1"]}), "address 'aaa.*. Allowed: host:port"),
        (config_of({"worker": [f"{'a.' * 150}a:1"]}), "address 'a.a.*. Allowed: host:port"),
        (config_of({"worker": ["é:1"]}), "address 'é:1'. Allowed: host:port"),
        (config_of({"worker": ["a b:1"]}), "address 'a b:1'. Allowed: host:port"),
        (config_of({"worker": ["a:\uff11"]}), "address 'a:\uff11'. Allowed: host:port"),
        (config_of({"worker": [["a:1"]]}), r"address \['a:1'\]. Allowed: host:port"),
        (
            config_of({"worker": ["a:1"]}, job=[]),
            r"task type \[\]. Allowed, by its cluster: worker",
        ),
        (config_of({"worker": ["a:1"]}, job={}), "task type {}. Allowed"),
        (config_of({"worker": ["a:1"]}, job=None), "task type None. Allowed"),
        (config_of({"worker": ["a:1"]}, index=True), "task index True of 1"),
        (config_of({"worker": ["a:1"]}, index=1e400), "task index inf of 1"),
        ("[]", "no JSON object. Allowed: as"),
        ('{"task": {}}', "no cluster. Allowed: as"),
        ('{"cluster": {"worker": ["a:1"]}}', "no task. Allowed: as"),
        (config_of({}), "an empty cluster. Allowed: a list"),
        (config_of({"ps": ["a:1"]}), "job 'ps' in its cluster. Allowed: chief, worker"),
        (config_of({"worker": "a:1"}), "worker: 'a:1'. Allowed: a list"),
        (config_of({"worker": ["a"]}), "address 'a'. Allowed: host:port"),
        (config_of({"worker": ["a:70000"]}), "address 'a:70000'. Allowed: host:port"),
        (config_of({"worker": ["a:1", "a:1"]}), "address a:1 is given 2 times. Allowed: once"),
        (config_of({"chief": ["a:1", "b:1"]}), "2 processes of job chief. Allowed: 1"),
        (
            config_of({"worker": ["a:1"]}, job="chief"),
            "task type 'chief'. Allowed, by its cluster: worker",
        ),
        (
            config_of({"worker": ["a:1", "b:1"]}, index=2),
            "task index 2 of 2 worker processes. Allowed: 0 to 1",
        ),
        (
            config_of({"worker": ["a:1"]}, index="0"),
            "task index '0' of 1 worker processes. Allowed: 0 to 0",
        ),
    ],
)
def test_tf_config_that_is_refused(text, message, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match=message) as caught:
        strategies.build("multi_worker")
    assert "\n" not in str(caught.value)


def test_processes_are_numbered_from_the_chief(monkeypatch):
    monkeypatch.setenv(
        "TF_CONFIG", config_of({"worker": ["a:1", "b:1"], "chief": ["c:1"]}, index=1)
    )
    assert multi_worker.read_cluster() == multi_worker.Cluster(("c:1", "a:1", "b:1"), 2)
