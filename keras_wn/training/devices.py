"""Finds the devices that a run trains on, on TensorFlow and on JAX."""

import contextlib
import dataclasses
import logging
import os
import typing

import keras

from keras_wn.training.config import TrainConfig
from keras_wn.training.errors import UsageError

# Keras' own name: set by the user for a run of several processes that JAX cannot find by itself.
_ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of a run, in this process and in others.

    Attributes:
        strategy: `tf.distribute.Strategy`. None on JAX, where a `keras.distribution` is set for the
            process.
        replicas: Devices that a batch is divided among, in all processes.
        workers: Processes.
        worker: Number of this process, from 0.
    """

    strategy: typing.Any
    replicas: int
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

    def scope(self) -> contextlib.AbstractContextManager:
        """Scope in which models and optimizers are made."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()


def find(config: TrainConfig) -> Devices:
    """The devices that a configuration asks for.

    Raises:
        UsageError: If they are not there, or not on this backend of Keras.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from keras_wn.training import strategies

        return strategies.devices(config.strategy, config.virtual_devices, config.worker_timeout)
    if backend != "jax":
        raise UsageError(
            f"KERAS_BACKEND={backend}: not allowed for training. Allowed: tensorflow, jax."
        )
    if config.xla == "off":
        raise UsageError(
            "--xla=off: JAX always compiles by XLA. Allowed with KERAS_BACKEND=jax: auto, on."
        )
    return _of_jax(config.strategy, config.virtual_devices)


def _of_jax(name, virtual_devices):
    """The devices of a run on JAX. Sets Keras' distribution for the process.

    `data_parallel` takes all devices, `none` takes one, and `auto` takes all if there are several.
    """
    if name not in ("auto", "none", "data_parallel"):
        raise UsageError(
            f"--strategy={name}: of the TensorFlow backend. Allowed with KERAS_BACKEND=jax: auto, "
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

        # Keras' own list raises an error on JAX where no GPU is.
        return sum(device.platform == "gpu" for device in jax.local_devices())
    return len(keras.distribution.list_devices("gpu"))


def make_deterministic() -> None:
    """Makes operations give the same bits in every run, slower ones on GPUs if need be."""
    if keras.backend.backend() == "jax":
        raise UsageError(
            "--deterministic: of the TensorFlow backend. Allowed with KERAS_BACKEND=jax: "
            "XLA_FLAGS=--xla_gpu_deterministic_ops=true."
        )
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
