import keras
import numpy as np

import keras_wn
from keras_wn.initializers import UnitFilters
from tests.helpers import filter_norms, to_numpy


def test_is_the_other_initializer_rescaled():
    plain = to_numpy(keras.initializers.GlorotUniform(seed=1)((3, 3, 4, 5)))
    started = to_numpy(UnitFilters(keras.initializers.GlorotUniform(seed=1))((3, 3, 4, 5)))
    np.testing.assert_allclose(started, plain / filter_norms(plain), rtol=1e-5)


def test_is_saved_with_what_it_wraps():
    copy = keras.initializers.deserialize(
        keras.initializers.serialize(UnitFilters("he_normal", axis=(0,)))
    )
    assert isinstance(copy, UnitFilters) and isinstance(
        copy.initializer, keras.initializers.HeNormal
    )
    assert copy.get_config()["axis"] == (0,)


def test_data_dependent_init_may_be_read_from_here_as_well():
    assert keras_wn.initializers.data_dependent_init is keras_wn.data_dependent_init
    assert not hasattr(keras_wn.initializers, "data_init")
