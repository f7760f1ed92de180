import os

# As the runners do; before TensorFlow is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import pytest


def pytest_configure(config):
    """Two devices of TensorFlow, so that distribution can be tested without an accelerator.

    The process that only hands the tests out to others imports no backend, which takes seconds
    before the others begin.
    """
    if config.getoption("numprocesses", None):
        return
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # Before TensorFlow's first operation.
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )


@pytest.fixture(autouse=True)
def _keras_as_at_start():
    """Each test starts from the same seed and policy, whatever the one before did."""
    import keras

    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
