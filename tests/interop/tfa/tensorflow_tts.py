"""TensorFlowTTS' weight normalization, written anew: the same variables, in the same order.

Unlike TensorFlow Addons, it has one norm per output channel of a `Conv2DTranspose`, which is the
last axis but one of its kernel, and it takes the kernel away from the layer.

Reference: TensorSpeech/TensorFlowTTS, `tensorflow_tts/utils/weight_norm.py`.
"""

import tensorflow as tf


class WeightNormalization(tf.keras.layers.Wrapper):
    """Wrapper that normalizes the kernel of a dense layer or convolution."""

    def build(self, input_shape=None):
        self.layer.build(input_shape)
        self.filter_axis = -2 if isinstance(self.layer, tf.keras.layers.Conv2DTranspose) else -1
        rank = self.layer.kernel.shape.rank
        self.kernel_norm_axes = [axis for axis in range(rank) if axis - rank != self.filter_axis]
        self.v = self.layer.kernel
        self.layer.kernel = None
        depth = self.v.shape[self.filter_axis]
        self.g = self.add_weight(name="g", shape=(depth,), initializer="ones", dtype=self.v.dtype)
        self.initialized = self.add_weight(name="initialized", dtype=tf.bool, trainable=False)
        super().build()

    def call(self, inputs):
        if not self.initialized:
            self.g.assign(tf.sqrt(tf.reduce_sum(tf.square(self.v), self.kernel_norm_axes)))
            self.initialized.assign(True)
        g = tf.expand_dims(self.g, -1) if self.filter_axis == -2 else self.g
        self.layer.kernel = tf.nn.l2_normalize(self.v, self.kernel_norm_axes) * g
        return self.layer(inputs)
