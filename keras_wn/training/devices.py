"""What a run needs to know of the devices that it trains on."""

import contextlib
import dataclasses
import typing

import keras

from keras_wn.training.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of a run, in this process and in others.

    Attributes:
        strategy: `tf.distribute.Strategy`; None on JAX, where a `keras.distribution` is set for the process.
        replicas: Devices that a batch is divided among, in all processes.
        workers: Processes.
        worker: Number of this process, from 0.
    """

    strategy: typing.Any
    replicas: int
    workers: int = 1
    worker: int = 0

    @property
    def is_chief(self):
        """Whether this process is the one that writes the run's files."""
        return self.worker == 0

    @property
    def shard(self):
        """This process' part of every batch: its number, and how many there are."""
        return self.worker, self.workers

    def scope(self):
        """Scope in which models and optimizers are made."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def fed(self, batches):
        """What `fit` takes: this process' part of the batches, divided among its devices."""
        if self.workers == 1 or self.strategy is None:
            return batches
        local = self.replicas // self.workers
        return self.strategy.distribute_datasets_from_function(
            lambda _: batches if local == 1 else batches.unbatch().batch(batches.element_spec[0].shape[0] // local)
        )


def of_run(config):
    """The devices that a configuration asks for.

    Raises:
        UsageError: If they are not there, or not on this backend of Keras.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from keras_wn.training import strategies

        return strategies.devices(config.strategy, config.virtual_devices, config.worker_timeout)
    if backend != "jax":
        raise UsageError(f"KERAS_BACKEND={backend}: not allowed for training. Allowed: tensorflow, jax.")
    for flag, value, none in (("accumulation", config.accumulation, 1), ("agc", config.agc, 0)):
        if value != none:
            raise UsageError(f"--{flag}={value}: of the TensorFlow backend. Allowed with KERAS_BACKEND=jax: {none}.")
    if config.xla == "off":
        raise UsageError("--xla=off: JAX always compiles by XLA. Allowed with KERAS_BACKEND=jax: auto, on.")
    from keras_wn.training import data_parallel

    return data_parallel.devices(config.strategy, config.virtual_devices)


def compiles(xla):
    """Whether XLA compiles the step: `on`, `off`, or `auto`, where it is faster: on GPUs and TPUs, and not on a CPU. JAX always does."""
    if keras.backend.backend() == "jax":
        return True
    from keras_wn.training import strategies

    return strategies.compiles(xla)


def make_deterministic():
    """Makes operations give the same bits in every run, slower ones on GPUs if need be."""
    if keras.backend.backend() == "jax":
        raise UsageError(
            "--deterministic: of the TensorFlow backend. Allowed with KERAS_BACKEND=jax: XLA_FLAGS=--xla_gpu_deterministic_ops=true."
        )
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
