"""Where v, g and b start: Keras initializers, and the start that depends on data."""

from keras_wn.initializers.data_dependent import data_dependent_init
from keras_wn.initializers.unit_filters import UnitFilters

__all__ = ["UnitFilters", "data_dependent_init"]
