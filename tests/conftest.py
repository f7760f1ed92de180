import keras
import pytest


@pytest.fixture(autouse=True)
def _keras_as_at_start():
    """Each test starts from the same seed and policy, whatever the one before did."""
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
