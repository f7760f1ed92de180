"""Weights that several calls or several layers use."""

import keras
import numpy as np

from keras_wn import layers
from tests.helpers import gradients, randomize, to_numpy
from tests.layers.cases import TOKENS, VECTORS


def test_tied_weights_share_their_gradients():
    """An embedding whose effective kernel is also the output layer, as language models tie them."""
    embedding = layers.WNEmbedding(6, 4)

    class Tied(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding = embedding

        def call(self, tokens):
            hidden = keras.ops.mean(self.embedding(tokens), axis=1)
            return keras.ops.matmul(hidden, keras.ops.transpose(self.embedding.effective_kernel))

    model = Tied()
    model(TOKENS)
    randomize(model)
    w = to_numpy(embedding.effective_kernel)
    np.testing.assert_allclose(
        to_numpy(model(TOKENS)), w[TOKENS].mean(axis=1) @ w.T, rtol=1e-4, atol=1e-5
    )
    found = gradients(model, TOKENS, np.ones((2, 6), "float32"))
    assert np.all(found["embeddings_g"] != 0)  # Tokens that were not looked up, too.


def test_shared_layer_gathers_the_gradients_of_its_calls():
    layer = layers.WNDense(4)
    inputs = keras.Input((4,))
    twice = keras.Model(inputs, layer(layer(inputs)))
    assert len(twice.trainable_variables) == 3
    randomize(layer)
    w, b = to_numpy(layer.effective_kernel), to_numpy(layer.bias)
    np.testing.assert_allclose(
        to_numpy(twice(VECTORS)), (VECTORS @ w + b) @ w + b, rtol=1e-4, atol=1e-4
    )
    plain = keras.layers.Dense(4)
    outputs = keras.Model(inputs, plain(plain(inputs)))
    plain.set_weights([w, b])
    cotangent = np.ones((5, 4), "float32")
    of_w, found = (
        gradients(outputs, VECTORS, cotangent)["kernel"],
        gradients(twice, VECTORS, cotangent),
    )
    v = to_numpy(layer.v)
    np.testing.assert_allclose(
        found["kernel_g"],
        np.sum(of_w * v, axis=0) / np.linalg.norm(v, axis=0),
        rtol=1e-3,
        atol=1e-3,
    )
