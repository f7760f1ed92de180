"""Weight-normalized embedding."""

import keras

from keras_wn.layers import gains
from keras_wn.layers.reparameterized import Reparameterized


@keras.saving.register_keras_serializable(package="keras_wn")
class WNEmbedding(Reparameterized, keras.layers.Embedding):
    """Embedding with weight normalization.

    `w = g v / ||v||`, one norm and one gain per token: g is the length of its vector.

    Args:
        input_dim: Positive integer, number of tokens.
        output_dim: Positive integer, length of a token's vector.
        use_gain: Boolean, whether there is a gain g. False: all vectors have length 1.
        gain_initializer: Initializer of g. None: `||v||`, so that the layer starts as `keras.layers.Embedding` does.
        trainable_gain: Boolean, whether g is trained. False: it stays where it starts.
        log_gain: Boolean, whether log g is trained in place of g: `g = exp(s)`.
        weights: Matrix `(input_dim, output_dim)`, or a list of it, that v starts at; and w with it, unless a
            `gain_initializer` gives the rows other lengths.
        *args, **kwargs: As `keras.layers.Embedding`; its regularizer and constraint act on v. `lora_rank` and
            `quantization_config` are not supported.

    Input shape:
        `(batch_size, ...)` of integers.

    Output shape:
        `(batch_size, ..., output_dim)`.

    Attributes:
        v, g: The trained variables; `effective_kernel`: w.

    Raises:
        ValueError: For what `keras.layers.Embedding` refuses, and for `lora_rank` or `quantization_config`.

    Example:

    >>> import numpy as np
    >>> layer = WNEmbedding(10, 4)
    >>> tuple(layer(np.array([[1, 2, 3]])).shape), tuple(layer.g.shape)
    ((1, 3, 4), (10,))

    Reference: Salimans & Kingma 2016, arXiv 1602.07868, eq. 2, which does not treat embeddings. Read as a dense layer on one-hot
    vectors, an embedding would have one norm per *column*; per token is what PyTorch's `weight_norm` does.
    """

    def __init__(self, *args, weights=None, **kwargs):
        super().__init__(*args, **kwargs)
        if weights is not None:
            self.build()
            self.v.assign(weights[0] if isinstance(weights, list) and len(weights) == 1 else weights)
            if self.use_gain and self.gain_initializer is None:
                for kernel, gain in self.kernels_and_gains():
                    gain.assign(gains.norm_of(kernel))
