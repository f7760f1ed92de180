import keras
import numpy as np

from keras_wn.layers.substitution import call_substituted
from tests.helpers import to_numpy


class _DropoutDense(keras.layers.Layer):
    """A layer with a kernel, random state, and a loss of its own."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(4)
        self.dropout = keras.layers.Dropout(0.5, seed=1)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x, training=None):
        self.add_loss(keras.ops.mean(x))
        return self.dropout(self.dense(x), training=training)


X = np.ones((3, 5), "float32")


def _substituted(layer, kernel, **kwargs):
    return to_numpy(call_substituted(layer, layer.call, {id(layer.dense.kernel): kernel}, X, **kwargs))


def test_call_reads_the_substitute_and_the_variable_stays():
    layer = _DropoutDense()
    layer(X)
    kernel = to_numpy(layer.dense.kernel).copy()
    outputs = _substituted(layer, keras.ops.ones((5, 4)), training=False)
    np.testing.assert_allclose(outputs, 5.0)
    np.testing.assert_array_equal(to_numpy(layer.dense.kernel), kernel)


def test_random_state_advances_so_that_masks_do_not_repeat():
    layer = _DropoutDense()
    layer(X)
    masks = [_substituted(layer, keras.ops.ones((5, 4)), training=True) for _ in range(4)]
    assert any(np.any(masks[0] != mask) for mask in masks[1:])


def test_losses_are_kept():
    layer = _DropoutDense()
    layer(X)
    layer._clear_losses()
    _substituted(layer, keras.ops.ones((5, 4)), training=False)
    assert len(layer._losses) == 1


def test_values_of_an_enclosing_stateless_scope_are_seen():
    layer = _DropoutDense()
    layer(X)
    bias = keras.ops.full((4,), 7.0)
    with keras.StatelessScope(state_mapping=[(layer.dense.bias, bias)]):
        outputs = _substituted(layer, keras.ops.zeros((5, 4)), training=False)
    np.testing.assert_allclose(outputs, 7.0)
