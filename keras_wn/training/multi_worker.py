"""Makes the strategy that trains in several processes, on one machine or on many."""

import dataclasses
import functools
import json
import os

import tensorflow as tf

from keras_wn.training import rendezvous
from keras_wn.training.errors import UsageError

# Seconds to wait for the other processes.
TIMEOUT = 300.0

_EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)
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
    except json.JSONDecodeError as error:
        raise _refused(text, f"no JSON ({error})") from None
    if not isinstance(config, dict):
        raise _refused(text, "no JSON object")
    for part in ("cluster", "task"):
        if not isinstance(config.get(part), dict):
            raise _refused(text, f"no {part}")
    addresses = _addresses(config["cluster"])
    job, index = config["task"].get("type"), config["task"].get("index")
    if job not in config["cluster"]:
        raise UsageError(
            f"TF_CONFIG: task type {job!r}. Allowed, by its cluster: "
            f"{', '.join(config['cluster'])}."
        )
    count = len(config["cluster"][job])
    if not (type(index) is int and 0 <= index < count):
        raise UsageError(
            f"TF_CONFIG: task index {index!r} of {count} {job} processes. Allowed: 0 to "
            f"{count - 1}."
        )
    is_after_chief = job == "worker" and "chief" in config["cluster"]
    return Cluster(tuple(addresses), index + is_after_chief)


def strategy(timeout: float = TIMEOUT) -> tf.distribute.Strategy:
    """The strategy of the processes that TF_CONFIG names, once all of them have started.

    Args:
        timeout: Positive float, seconds to wait for them.

    Raises:
        UsageError: If TF_CONFIG is not as it must be, or processes, which are named, do not come in
            time.
    """
    cluster = read_cluster()
    return _strategy(cluster, timeout)


# Made once for the process, because TensorFlow's server keeps the port.
@functools.cache
def _strategy(cluster, timeout):
    rendezvous.meet(list(cluster.addresses), cluster.number, timeout)
    tf.get_logger().setLevel("WARNING")  # Its lines of information would come twice each.
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
            raise UsageError(f"TF_CONFIG: job {job!r} in its cluster. Allowed: {', '.join(_JOBS)}.")
        if not (isinstance(addresses, list) and addresses):
            raise UsageError(
                f"TF_CONFIG: {job}: {addresses!r}. Allowed: a list of addresses as host:port."
            )
    if len(jobs.get("chief", [])) > 1:
        raise UsageError(f"TF_CONFIG: {len(jobs['chief'])} processes of job chief. Allowed: 1.")
    addresses = [address for job in _JOBS for address in jobs.get(job, [])]
    if not addresses:
        raise UsageError("TF_CONFIG: an empty cluster. Allowed: a list of addresses for worker.")
    for address in addresses:
        host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
        if not (host and port.isdecimal() and 0 < int(port) < 2**16):
            raise UsageError(
                f"TF_CONFIG: address {address!r}. Allowed: host:port, with a port of 1 to 65535."
            )
        if addresses.count(address) > 1:
            raise UsageError(
                f"TF_CONFIG: address {address} is given {addresses.count(address)} times. "
                "Allowed: once."
            )
    return addresses


def _refused(text, why):
    short = text if len(text) <= 200 else f"{text[:200]}..."
    return UsageError(f"TF_CONFIG={' '.join(short.split())}: {why}. Allowed: as {_EXAMPLE}.")
