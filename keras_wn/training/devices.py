"""Finds the devices that a run trains on, on TensorFlow and on JAX."""

import contextlib
import dataclasses
import hashlib
import logging
import os
import re
import typing
from collections.abc import Iterator, Mapping

import keras
import numpy as np

from keras_wn.errors import LostProcessError, UsageError
from keras_wn.training import provenance
from keras_wn.training.config import TrainConfig

# Flags that may differ between the processes of a run.
_OWN_FLAGS = ("data_dir", "model_dir", "worker_timeout", "profile_steps", "xla")
# Keras' own name: set by the user for a run of several processes that JAX cannot find by itself.
_ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of a run, in this process and in others.

    Attributes:
        strategy: `tf.distribute.Strategy`. None on JAX, where a `keras.distribution` is set for the
            process.
        count: Devices that a batch is divided among, in all processes.
        workers: Processes.
        worker: Number of this process, from 0.
    """

    strategy: typing.Any
    count: int
    workers: int = 1
    worker: int = 0

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes the run's files."""
        return self.worker == 0

    @property
    def shard(self) -> tuple[int, int]:
        """This process' part of every batch: its number, and how many there are."""
        return self.worker, self.workers

    def check_same(self, facts: Mapping[str, str]) -> None:
        """Compares texts between the processes of the run, and waits for all of them.

        Args:
            facts: Texts by name; the names are the same in all processes.

        Raises:
            UsageError: In all processes, if one of the texts is not the same in all. It names the
                first process that differs from the chief.
        """
        if self.workers == 1:
            return
        own = [int(hashlib.sha256(text.encode()).hexdigest()[:15], 16) for text in facts.values()]
        # A row for each process or device; the rows of a process' devices follow each other.
        rows = self._gathered(np.array(own, "int64"))
        rows = rows.reshape(self.workers, -1, len(own))[:, 0]
        for name, column in zip(facts, rows.T, strict=True):
            for worker in np.flatnonzero(column != column[0])[:1]:
                raise UsageError(
                    f"{name}: process {worker} has another one than process 0 (here, in process "
                    f"{self.worker}: {facts[name]}). Allowed: the same in all processes."
                )

    def wait(self) -> None:
        """Waits until all processes of the run have called this."""
        self.check_same({"place in the run": ""})

    def _gathered(self, numbers):
        if self.strategy is None:
            from jax.experimental import multihost_utils

            # JAX has no integers of 64 bits by default.
            halves = np.stack([numbers >> 31, numbers & (2**31 - 1)]).astype("int32")
            high, low = np.moveaxis(np.asarray(multihost_utils.process_allgather(halves)), 1, 0)
            return (high.astype("int64") << 31) + low
        from keras_wn.training import strategies

        return strategies.gathered(self.strategy, numbers)

    @contextlib.contextmanager
    def losses_explained(self) -> Iterator[None]:
        """Scope in which the backend's error for a process that is lost becomes one line."""
        try:
            yield
        except Exception as error:
            if self.workers == 1 or not _says_that_one_is_lost(error):
                raise
            raise LostProcessError(
                f"process {self.worker} of {self.workers} has lost {self._name_of_lost(error)}. "
                "Start all processes again, with --resume."
            ) from error

    def _name_of_lost(self, error):
        """The process that an error is about, or another one if the error does not tell."""
        numbers = {int(number) for number in re.findall(r"/task:(\d+)", str(error))}
        others = sorted(numbers & set(range(self.workers)) - {self.worker})
        if self.workers == 2:
            others = [1 - self.worker]
        return f"process {others[0]}" if len(others) == 1 else "another process"

    def scope(self) -> contextlib.AbstractContextManager:
        """Scope in which models and optimizers are made."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()


def find(config: TrainConfig, **choices: bool) -> Devices:
    """The devices that a configuration asks for.

    Args:
        config: Resolved `TrainConfig`.
        **choices: What else must be the same in all processes of the run.

    Raises:
        UsageError: If this machine or this backend of Keras lacks them, or if processes of the
            run were started otherwise.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from keras_wn.training import strategies

        facts = _facts(config, choices) if config.strategy == "multi_worker" else {}
        strategy = strategies.build(
            config.strategy, config.virtual_devices, config.worker_timeout, facts
        )
        count = strategy.num_replicas_in_sync
        if config.strategy != "multi_worker":
            return Devices(strategy, count)
        from keras_wn.training import multi_worker

        cluster = multi_worker.read_cluster()
        return Devices(strategy, count, len(cluster.addresses), cluster.number)
    if backend != "jax":
        raise UsageError(
            f"KERAS_BACKEND={backend}: not allowed for training. Allowed: tensorflow, jax."
        )
    if config.xla == "off":
        raise UsageError(
            "--xla=off: JAX always compiles by XLA. Allowed with KERAS_BACKEND=jax: auto, on."
        )
    return _of_jax(config.strategy, config.virtual_devices)


def _facts(config, choices):
    """Texts that must be the same in all processes: the flags, and the code."""
    flags = {**dataclasses.asdict(config), **choices}
    # Folders may be elsewhere on another machine, and may have other names there.
    return {
        **{f"--{key}": str(value) for key, value in flags.items() if key not in _OWN_FLAGS},
        **provenance.code(),
    }


def _of_jax(name, virtual_devices):
    """The devices of a run on JAX. Sets Keras' distribution for the process.

    `data_parallel` takes all devices, `none` takes one, and `auto` takes all if there are several.
    """
    if name not in ("auto", "none", "data_parallel"):
        raise UsageError(
            f"--strategy={name}: for the TensorFlow backend. Allowed with KERAS_BACKEND=jax: auto, "
            "none, data_parallel."
        )
    if virtual_devices:
        raise UsageError(
            f"--virtual_devices={virtual_devices}: not allowed with KERAS_BACKEND=jax. Allowed: "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={virtual_devices} in the "
            "environment."
        )
    import jax  # JAX need not be installed with TensorFlow.

    # JAX would report each kind of device that this machine lacks.
    logging.getLogger("jax").setLevel("WARNING")
    if _ADDRESSES in os.environ:
        keras.distribution.initialize()
    if name == "none" or (name == "auto" and jax.device_count() == 1):
        return Devices(None, 1)
    # Each process makes its own rows of every batch.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    return Devices(None, jax.device_count(), jax.process_count(), jax.process_index())


def _says_that_one_is_lost(error):
    if keras.backend.backend() == "jax":
        return type(error).__name__ == "JaxRuntimeError" and "UNAVAILABLE" in str(error)
    from keras_wn.training import strategies

    return strategies.lost_process(error)


def compiles(xla: str) -> bool:
    """Whether XLA compiles the step.

    JAX always compiles by XLA. On TensorFlow, `auto` turns it on for GPUs, where it is faster.
    """
    if keras.backend.backend() == "jax":
        return True
    from keras_wn.training import strategies

    return strategies.compiles(xla)


def gpu_count() -> int:
    """The number of GPUs that this process can use."""
    if keras.backend.backend() == "jax":
        import jax

        # Keras' own list raises an error on JAX without a GPU.
        return sum(device.platform == "gpu" for device in jax.local_devices())
    return len(keras.distribution.list_devices("gpu"))


def make_deterministic() -> None:
    """Makes operations give the same bits in every run. On GPUs, some are then slower."""
    if keras.backend.backend() == "jax":
        raise UsageError(
            "--deterministic: for the TensorFlow backend. Allowed with KERAS_BACKEND=jax: "
            "XLA_FLAGS=--xla_gpu_deterministic_ops=true."
        )
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
