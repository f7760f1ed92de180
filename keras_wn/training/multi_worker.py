"""Makes the strategy that trains in several processes, on one machine or on many."""

import dataclasses
import functools
import json
import os
import re
from collections.abc import Mapping

import tensorflow as tf

from keras_wn.errors import UsageError
from keras_wn.training import rendezvous
from keras_wn.training.flag_fields import shortened

# Seconds to wait for the other processes.
TIMEOUT = 300.0

_EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)
# A name, or an address of IPv6 in brackets, and a port.
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_ADDRESS = re.compile(rf"({_LABEL}(\.{_LABEL})*\.?|\[[0-9A-Fa-f:.%a-z]+\]):[0-9]{{1,5}}")
_JOBS = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of a run.

    Attributes:
        addresses: Tuple of `host:port`, the chief's first.
        number: Integer, the index of this process.
    """

    addresses: tuple[str, ...]
    number: int


def read_cluster() -> Cluster:
    """The processes that the environment variable TF_CONFIG names, checked.

    Returns:
        `Cluster`.

    Raises:
        UsageError: If TF_CONFIG is missing or not as it must be.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        raise UsageError(f"--strategy=multi_worker: TF_CONFIG is not set. Allowed: as {_EXAMPLE}.")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(text, f"no JSON ({error})") from None
    if not isinstance(config, dict):
        raise _refused(text, "no JSON object")
    for part in ("cluster", "task"):
        if not isinstance(config.get(part), dict):
            raise _refused(text, f"no {part}")
    addresses = _addresses(config["cluster"])
    job, index = config["task"].get("type"), config["task"].get("index")
    if not isinstance(job, str) or job not in config["cluster"]:
        raise UsageError(
            f"TF_CONFIG: task type {shortened(repr(job))}. Allowed, by its cluster: "
            f"{', '.join(config['cluster'])}."
        )
    count = len(config["cluster"][job])
    if not (type(index) is int and 0 <= index < count):
        raise UsageError(
            f"TF_CONFIG: task index {shortened(repr(index))} of {count} {job} processes. Allowed: "
            f"0 to {count - 1}."
        )
    is_after_chief = job == "worker" and "chief" in config["cluster"]
    return Cluster(tuple(addresses), index + is_after_chief)


def strategy(
    timeout: float = TIMEOUT, facts: Mapping[str, str] | None = None
) -> tf.distribute.Strategy:
    """The strategy of the processes that TF_CONFIG names, once all of them have started.

    Args:
        timeout: Positive float, seconds to wait for them.
        facts: Texts by name that must be the same in all of them.

    Raises:
        UsageError: If TF_CONFIG is not as it must be, or processes, which are named, do not come in
            time or were started otherwise.
    """
    cluster = read_cluster()
    return _strategy(cluster, timeout, tuple((facts or {}).items()))


# Made once for the process, because TensorFlow's server keeps the port.
@functools.cache
def _strategy(cluster, timeout, facts):
    rendezvous.meet(cluster.addresses, cluster.number, timeout, dict(facts))
    # Otherwise TensorFlow would print each of its lines of information twice.
    tf.get_logger().setLevel("WARNING")
    communication = tf.distribute.experimental.CommunicationImplementation
    gpus = tf.config.list_physical_devices("GPU")
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=communication.AUTO if gpus else communication.RING
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    except RuntimeError as error:
        raise UsageError(
            f"--strategy=multi_worker: TensorFlow has started already ({error})."
        ) from None


def _addresses(jobs):
    for job, addresses in jobs.items():
        if job not in _JOBS:
            raise UsageError(
                f"TF_CONFIG: job {shortened(repr(job))} in its cluster. Allowed: "
                f"{', '.join(_JOBS)}."
            )
        if not (isinstance(addresses, list) and addresses):
            raise UsageError(
                f"TF_CONFIG: {job}: {shortened(repr(addresses))}. Allowed: a list of addresses as "
                "host:port."
            )
    if len(jobs.get("chief", [])) > 1:
        raise UsageError(f"TF_CONFIG: {len(jobs['chief'])} processes of job chief. Allowed: 1.")
    addresses = [address for job in _JOBS for address in jobs.get(job, [])]
    if not addresses:
        raise UsageError("TF_CONFIG: an empty cluster. Allowed: a list of addresses for worker.")
    for address in addresses:
        if not (isinstance(address, str) and _ADDRESS.fullmatch(address) and _fits(address)):
            raise UsageError(
                f"TF_CONFIG: address {shortened(repr(address))}. Allowed: host:port, with a port "
                "of 1 to 65535 and a host of names of 1 to 63 letters, digits and hyphens with "
                "dots between them."
            )
        if addresses.count(address) > 1:
            raise UsageError(
                f"TF_CONFIG: address {address} is given {addresses.count(address)} times. "
                "Allowed: once."
            )
    return addresses


def _fits(address):
    host, _, port = address.rpartition(":")
    return len(host) < 254 and 0 < int(port) < 2**16


def _refused(text, why):
    short = text if len(text) <= 200 else f"{text[:200]}..."
    return UsageError(f"TF_CONFIG={' '.join(short.split())}: {why}. Allowed: as {_EXAMPLE}.")
