"""Names under which Keras saves the package's classes."""

import inspect

import pytest
from keras.saving import get_registered_object

from keras_wn import constraints, initializers, layers, regularizers

CLASSES = [
    value
    for module in (constraints, initializers, layers, regularizers)
    for value in (getattr(module, name) for name in getattr(module, "__all__", vars(module)))
    if inspect.isclass(value) and value.__module__.startswith("keras_wn")
]


@pytest.mark.parametrize("saved_class", CLASSES, ids=lambda c: f"{c.__module__}.{c.__name__}")
def test_each_class_is_found_under_its_own_name(saved_class):
    # Keras registers by bare name: two classes of one name would silently replace each other.
    assert get_registered_object(f"keras_wn>{saved_class.__name__}") is saved_class
