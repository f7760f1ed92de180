"""Devices on the JAX backend: `keras.distribution`, on GPUs, on Cloud TPUs, in one process or in several."""

import os

import keras

from keras_wn.training.devices import Devices
from keras_wn.training.errors import UsageError

# Set by the user for a run of several processes that JAX cannot find by itself: Keras' own names.
_ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"


def devices(name, virtual_devices):
    """The devices of a run on JAX.

    Args:
        name: `data_parallel`, all of them; `none`, one; `auto`, `data_parallel` where there are several.
        virtual_devices: Integer; must be 0: JAX makes them by `XLA_FLAGS=--xla_force_host_platform_device_count=2`.

    Returns:
        `Devices`. Keras' distribution is set for the process.

    Raises:
        UsageError: For a strategy of TensorFlow's.
    """
    if name not in ("auto", "none", "data_parallel"):
        raise UsageError(
            f"--strategy={name}: of the TensorFlow backend. Allowed with KERAS_BACKEND=jax: auto, none, data_parallel."
        )
    if virtual_devices:
        raise UsageError(
            f"--virtual_devices={virtual_devices}: not allowed with KERAS_BACKEND=jax. Allowed: "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={virtual_devices} in the environment."
        )
    import jax  # Where Keras runs on TensorFlow, it need not be installed.

    if _ADDRESSES in os.environ:
        keras.distribution.initialize()
    if name == "none" or (name == "auto" and jax.device_count() == 1):
        return Devices(None, 1)
    # Each process makes its own rows of every batch.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    return Devices(None, jax.device_count(), jax.process_count(), jax.process_index())
