"""The devices that a run trains on."""

import functools

import tensorflow as tf

from keras_wn.training.errors import UsageError


def build(name, virtual_devices):
    """The `tf.distribute` strategy of a run.

    Args:
        name: `none`, one device; `mirrored`, all GPUs, or the virtual devices; `auto`, `mirrored` where there are several.
        virtual_devices: Integer, CPU devices to make out of one, to try distribution without accelerators; 0 for none.

    Returns:
        `tf.distribute.Strategy`.

    Raises:
        UsageError: If there are no devices for what is asked.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if virtual_devices and gpus:
        raise UsageError(f"--virtual_devices={virtual_devices}: this machine has {len(gpus)} GPUs. Allowed: 0.")
    if virtual_devices and name == "none":
        raise UsageError(
            f"--virtual_devices={virtual_devices} with --strategy=none. Allowed: with --strategy=mirrored."
        )
    if name == "none" or (name == "auto" and len(gpus) < 2 and not virtual_devices):
        return tf.distribute.get_strategy()
    if virtual_devices:
        _make_virtual(virtual_devices)
        return _mirrored(tuple(f"CPU:{i}" for i in range(virtual_devices)))
    if not gpus:
        raise UsageError(
            "--strategy=mirrored: there is no GPU here. Allowed: --strategy=none, or --virtual_devices=2 to try it on the CPU."
        )
    return _mirrored(tuple(f"GPU:{i}" for i in range(len(gpus))))


def compiles(xla):
    """Whether the step is compiled by XLA: `on`, `off`, or `auto`, where it is faster: on GPUs, and not on a CPU."""
    return xla == "on" or (xla == "auto" and bool(tf.config.list_physical_devices("GPU")))


# One for the process: the collective operations of a second one clash with the first's.
@functools.cache
def _mirrored(devices):
    return tf.distribute.MirroredStrategy(devices)


def _make_virtual(count):
    cpu = tf.config.list_physical_devices("CPU")[0]
    there = tf.config.get_logical_device_configuration(cpu) or []
    if len(there) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:
        raise UsageError(f"--virtual_devices={count}: TensorFlow has started already ({error}).") from None
