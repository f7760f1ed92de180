"""Makes the strategy by which TensorFlow trains on one or several devices."""

import functools
import glob
import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from keras_wn.errors import UsageError
from keras_wn.training import multi_worker


def build(
    name: str,
    virtual_devices: int = 0,
    timeout: float = multi_worker.TIMEOUT,
    facts: Mapping[str, str] | None = None,
) -> tf.distribute.Strategy:
    """The `tf.distribute` strategy of a run.

    Args:
        name: `none`, one device; `mirrored`, all GPUs, or the virtual devices; `auto`, `mirrored`
            where there are several; `multi_worker`, the processes that TF_CONFIG names, with all of
            their GPUs; `tpu`, a Cloud TPU. Keras 3 on `tf.distribute.TPUStrategy` is reported
            broken upstream (keras issue 19448) and has not been verified here.
        virtual_devices: Integer, CPU devices to make out of one, to try distribution without
            accelerators; 0 for none.
        timeout: Positive float, seconds to wait for the other processes of `multi_worker`.
        facts: Texts by name that must be the same in all of these processes.

    Returns:
        `tf.distribute.Strategy`.

    Raises:
        UsageError: If there are no devices for what is asked.
    """
    if virtual_devices and name not in ("auto", "mirrored"):
        raise UsageError(
            f"--virtual_devices={virtual_devices} with --strategy={name}. Allowed: with "
            "--strategy=mirrored."
        )
    if name == "data_parallel":
        raise UsageError(
            "--strategy=data_parallel: for the JAX backend. Allowed with KERAS_BACKEND=tensorflow: "
            "auto, none, mirrored, multi_worker, tpu."
        )
    if name == "multi_worker":
        return multi_worker.strategy(timeout, facts)
    if name == "tpu":
        return _tpu()
    gpus = tf.config.list_physical_devices("GPU")
    if virtual_devices and gpus:
        raise UsageError(
            f"--virtual_devices={virtual_devices}: this machine has {len(gpus)} GPUs. Allowed: 0."
        )
    if name == "none" or (name == "auto" and len(gpus) < 2 and not virtual_devices):
        return tf.distribute.get_strategy()
    if virtual_devices:
        _make_virtual(virtual_devices)
        return _mirrored(tuple(f"CPU:{i}" for i in range(virtual_devices)))
    if not gpus:
        raise UsageError(
            "--strategy=mirrored: there is no GPU here. Allowed: --strategy=none, or "
            "--virtual_devices=2 to try it on the CPU."
        )
    return _mirrored(tuple(f"GPU:{i}" for i in range(len(gpus))))


def gathered(strategy: tf.distribute.Strategy, numbers: np.ndarray) -> np.ndarray:
    """The rows of int64 numbers of the replicas of all processes."""

    def gather():
        row = tf.constant(numbers, tf.int64)[None]
        return tf.distribute.get_replica_context().all_gather(row, axis=0)

    found = tf.function(lambda: strategy.run(gather))()
    return strategy.experimental_local_results(found)[0].numpy()


def lost_process(error: Exception) -> bool:
    """Whether an error of TensorFlow says that another process of the run has gone."""
    # The kind of error depends on the operation that was running.
    kinds = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
    words = ("collective", "Connection reset", "task", "peer", "Broken pipe", "Socket closed")
    is_remote = any(word in str(error) for word in words)
    others = (tf.errors.InternalError, tf.errors.UnknownError, tf.errors.DeadlineExceededError)
    return isinstance(error, kinds) or (isinstance(error, others) and is_remote)


def compiles(xla: str) -> bool:
    """Whether XLA compiles the step: `auto` turns it on for GPUs, where it is faster."""
    return xla == "on" or (xla == "auto" and bool(tf.config.list_physical_devices("GPU")))


# Made once for the process: the collective operations of a second strategy clash with these.
@functools.cache
def _mirrored(devices):
    # Otherwise TensorFlow would print each of its lines of information twice.
    tf.get_logger().setLevel("WARNING")
    return tf.distribute.MirroredStrategy(devices)


def _tpu():
    # Without a TPU, TensorFlow's resolver would ask Google's metadata server for minutes.
    if not (
        os.environ.get("TPU_NAME") or glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*")
    ):
        raise UsageError(
            "--strategy=tpu: no TPU here: TPU_NAME is not set, and there is no /dev/accel*. "
            "Allowed: on a Cloud TPU; "
            "--strategy=none, mirrored or multi_worker elsewhere."
        )
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"--strategy=tpu: TPU_NAME={name} did not start ({line}). Allowed: a TPU that runs."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def _make_virtual(count):
    cpu = tf.config.list_physical_devices("CPU")[0]
    configured = tf.config.get_logical_device_configuration(cpu) or []
    if len(configured) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        raise UsageError(
            f"--virtual_devices={count}: TensorFlow has started already ({error})."
        ) from None
