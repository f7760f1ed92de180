"""Programs of the kinds that use TensorFlow Addons' `WeightNormalization`, for Keras 2 and Keras 3.

`make_files.py` runs them with TensorFlow Addons on Keras 2 and writes their files.
`test_against_tfa.py` runs them with keras_wn on Keras 3 and loads these files. Each function takes
the name of an entry of `WRAPPERS`, which either side fills.

The structure of `tcn`, `wdsr` and `melgan` is that of keras-tcn, krasserm/super-resolution and
TensorFlowTTS.
"""

import keras
import tensorflow as tf
from keras import layers as kl

# Name -> function that wraps a layer in a weight normalization.
WRAPPERS = {}
serializable = keras.saving.register_keras_serializable("programs")


def issue_2869(wn):
    """The model of tensorflow/addons issue 2869, smaller."""
    wrap = WRAPPERS[wn]
    return keras.Sequential(
        [
            keras.Input((12,), dtype="int32"),
            kl.Embedding(20, 4),
            wrap(kl.Conv1D(6, 3, activation="relu", padding="same")),
            kl.MaxPooling1D(2),
            wrap(kl.Conv1D(5, 3, activation="relu", padding="same")),
            kl.GlobalMaxPooling1D(),
            wrap(kl.Dense(2, activation="softmax")),
        ]
    )


def convolutions(wn):
    """With batch normalization, a transposed convolution, and parallel branches."""
    wrap = WRAPPERS[wn]
    x = inputs = keras.Input((8, 8, 3))
    x = wrap(kl.Conv2D(4, 3, use_bias=False))(x)
    x = kl.BatchNormalization()(x)
    x = wrap(kl.Conv2DTranspose(5, 2, strides=2))(x)
    x = kl.DepthwiseConv2D(3)(x)
    x = kl.Add()([wrap(kl.Conv2D(3, 1))(x), kl.Conv2D(3, 1)(x)])
    return keras.Model(inputs, wrap(kl.Dense(2))(kl.GlobalAveragePooling2D()(x)))


def square(wn):
    """Two transposed convolutions, the first of as many output as input channels."""
    wrap = WRAPPERS[wn]
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            wrap(kl.Conv2DTranspose(3, 2)),
            kl.ReLU(),
            wrap(kl.Conv2DTranspose(4, 2)),
        ]
    )


def square_alone(wn):
    """A transposed convolution of as many output as input channels, and no other."""
    wrap = WRAPPERS[wn]
    return keras.Sequential(
        [keras.Input((8, 8, 3)), wrap(kl.Conv2DTranspose(3, 2)), kl.ReLU(), wrap(kl.Conv2D(3, 2))]
    )


def recurrent(wn):
    """TensorFlow Addons normalizes the recurrent kernel of a recurrent layer, and no other."""
    wrap = WRAPPERS[wn]
    layers = [
        wrap(kl.LSTM(3, return_sequences=True)),
        kl.Bidirectional(kl.GRU(4, return_sequences=True)),
        kl.TimeDistributed(wrap(kl.Dense(4))),
        wrap(kl.SimpleRNN(2)),
    ]
    return keras.Sequential([keras.Input((8, 4)), *layers])


def other_layers(wn):
    """Layers that are several layers in the file or here, or that Keras 3 names otherwise."""
    wrap = WRAPPERS[wn]
    x = inputs = keras.Input((8, 4))
    x = kl.MultiHeadAttention(2, 3, use_bias=False)(x, x)
    x = kl.SeparableConv1D(5, 3)(kl.LayerNormalization()(x))
    x = kl.DepthwiseConv1D(3)(kl.PReLU()(x))
    x = kl.RNN([kl.LSTMCell(3), kl.GRUCell(4)], return_sequences=True)(wrap(kl.Dense(5))(x))
    x = kl.Bidirectional(kl.LSTM(2), merge_mode="sum")(kl.UnitNormalization()(x))
    return keras.Model(
        inputs, wrap(kl.Dense(2))(kl.BatchNormalization(center=False, scale=False)(x))
    )


def nested(wn):
    """Models in models, one of them used twice."""
    wrap = WRAPPERS[wn]
    inputs = keras.Input((8, 4))
    encoder = keras.Sequential(
        [
            keras.Input((8, 4)),
            wrap(kl.Conv1D(4, 3, padding="same")),
            kl.BatchNormalization(),
            wrap(kl.Conv1D(4, 1)),
        ],
        name="encoder",
    )
    x = wrap(kl.Conv1D(4, 1))(encoder(encoder(inputs)))
    inner = keras.Model(inputs, x, name="inner")
    outer = keras.Input((8, 4))
    return keras.Model(outer, wrap(kl.Dense(2))(kl.GlobalAveragePooling1D()(inner(outer))))


@serializable
class ResidualBlock(kl.Layer):
    """As keras-tcn's: `build` makes and builds its layers, which are in a list and attributes."""

    def __init__(self, filters, dilation, wn, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.dilation, self.wn = filters, dilation, wn

    def build(self, input_shape):
        shape = input_shape
        with tf.name_scope(self.name):
            self.blocks = []
            for k in range(2):
                with tf.name_scope(f"conv1D_{k}"):
                    name = f"conv1D_{k}"
                    conv = kl.Conv1D(
                        self.filters, 3, padding="causal", dilation_rate=self.dilation, name=name
                    )
                    with tf.name_scope(f"norm_{k}"):
                        conv = WRAPPERS[self.wn](conv)
                    self.blocks.append(conv)
                    conv.build(shape)
                    shape = conv.compute_output_shape(shape)
                with tf.name_scope(f"act_and_dropout_{k}"):
                    self.blocks.append(kl.Activation("relu"))
                    self.blocks.append(kl.SpatialDropout1D(0.1))
            if self.filters == input_shape[-1]:
                self.matching = kl.Activation("linear", name="matching_identity")
            else:
                self.matching = kl.Conv1D(self.filters, 1, padding="same", name="matching_conv1D")
            with tf.name_scope(self.matching.name):
                self.matching.build(input_shape)
            self.final = kl.Activation("relu")
            for layer in (*self.blocks, self.matching):
                setattr(self, layer.name, layer)
        super().build(input_shape)

    def call(self, inputs, training=None):
        x = inputs
        for layer in self.blocks:
            x = layer(x, training=training) if isinstance(layer, kl.SpatialDropout1D) else layer(x)
        return self.final(x + self.matching(inputs)), x

    def compute_output_shape(self, input_shape):
        shape = (*input_shape[:-1], self.filters)
        return shape, shape

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "dilation": self.dilation,
            "wn": self.wn,
        }


@serializable
class TCN(kl.Layer):
    """As keras-tcn's: residual blocks with skip connections."""

    def __init__(self, filters, dilations, wn, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.dilations, self.wn = filters, list(dilations), wn

    def build(self, input_shape):
        self.residual_blocks = []
        shape = input_shape
        for i, dilation in enumerate(self.dilations):
            block = ResidualBlock(self.filters, dilation, self.wn, name=f"residual_block_{i}")
            self.residual_blocks.append(block)
            block.build(shape)
            shape = block.compute_output_shape(shape)[0]
        for block in self.residual_blocks:
            setattr(self, block.name, block)
        super().build(input_shape)

    def call(self, inputs, training=None):
        x, skips = inputs, []
        for block in self.residual_blocks:
            x, skip = block(x, training=training)
            skips.append(skip)
        return sum(skips)[:, -1, :]

    def compute_output_shape(self, input_shape):
        return input_shape[0], self.filters

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "dilations": self.dilations,
            "wn": self.wn,
        }


def tcn(wn):
    """As the models of keras-tcn: custom layers in custom layers."""
    inputs = keras.Input((8, 4))
    return keras.Model(inputs, kl.Dense(2)(TCN(5, (1, 2), wn)(inputs)))


@serializable
def pixel_shuffle(x):
    return tf.nn.depth_to_space(x, 2)


@serializable
def scaled(x):
    return (x - 0.45) / 0.5


def wdsr(wn):
    """As WDSR-B of krasserm/super-resolution: a functional model with Lambda layers."""

    def conv(x, filters, size, **kwargs):
        return WRAPPERS[wn](kl.Conv2D(filters, size, padding="same", **kwargs))(x)

    inputs = keras.Input((None, None, 3))
    x = kl.Lambda(scaled)(inputs)
    main = conv(x, 4, 3)
    for _ in range(2):
        block = conv(main, 8, 1, activation="relu")
        main = kl.Add()([main, conv(conv(block, 3, 1), 4, 3)])
    main = kl.Lambda(pixel_shuffle)(conv(main, 12, 3, name="conv2d_main_scale_2"))
    skip = kl.Lambda(pixel_shuffle)(conv(x, 12, 5, name="conv2d_skip_scale_2"))
    return keras.Model(inputs, kl.Add()([main, skip]), name="wdsr")


@serializable
class Scale(kl.Layer):
    """A layer with weights of its own, around another that it builds without a name scope."""

    def __init__(self, wn, **kwargs):
        super().__init__(**kwargs)
        self.wn = wn
        self.dense = WRAPPERS[wn](kl.Dense(4))

    def build(self, input_shape):
        self.factor = self.add_weight(name="factor", shape=(4,), initializer="ones")
        self.offset = self.add_weight(name="offset", shape=(4,), initializer="zeros")
        if not self.dense.built:
            self.dense.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        return self.dense(x) * self.factor + self.offset

    def get_config(self):
        return {**super().get_config(), "wn": self.wn}


@serializable
class Subclassed(keras.Model):
    """A subclassed model with a list of layers, a nested model, and a weight of its own."""

    def __init__(self, wn, **kwargs):
        super().__init__(**kwargs)
        self.wn = wn
        wrap = WRAPPERS[wn]
        self.temperature = self.add_weight(name="temperature", shape=(), initializer="ones")
        self.first = wrap(kl.Conv1D(4, 3, padding="same"))
        self.middle = [wrap(kl.Conv1D(4, 1)), kl.BatchNormalization(), wrap(kl.Conv1D(4, 1))]
        self.pair = keras.Sequential([wrap(kl.Dense(4)), kl.ReLU(), kl.Dense(4)])
        self.scale = Scale(wn)
        self.last = kl.Dense(2)

    def call(self, x, training=None):
        x = self.first(x)
        for layer in self.middle:
            x = (
                layer(x, training=training)
                if isinstance(layer, kl.BatchNormalization)
                else layer(x)
            )
        return self.last(self.scale(self.pair(x))) * self.temperature

    def get_config(self):
        return {"name": self.name, "wn": self.wn}


def subclassed(wn):
    model = Subclassed(wn)
    model(tf.zeros((1, 8, 4)))
    return model


@serializable
class ConvTranspose1d(kl.Layer):
    """As TensorFlowTTS': a transposed convolution in two dimensions, one of them of length 1."""

    def __init__(self, filters, stride, wn, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.stride, self.wn = filters, stride, wn
        conv = kl.Conv2DTranspose(filters, (2 * stride, 1), strides=(stride, 1), padding="same")
        self.conv1d_transpose = WRAPPERS[wn](conv)

    def call(self, x):
        return tf.squeeze(self.conv1d_transpose(tf.expand_dims(x, 2)), 2)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "stride": self.stride,
            "wn": self.wn,
        }


@serializable
class ResidualStack(kl.Layer):
    """As TensorFlowTTS'."""

    def __init__(self, filters, dilation, wn, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.dilation, self.wn = filters, dilation, wn
        wrap = WRAPPERS[wn]
        self.blocks = [
            kl.LeakyReLU(),
            wrap(kl.Conv1D(filters, 3, dilation_rate=dilation, padding="same")),
            kl.LeakyReLU(),
            wrap(kl.Conv1D(filters, 1)),
        ]
        self.shortcut = wrap(kl.Conv1D(filters, 1, name="shortcut"))

    def call(self, x):
        y = x
        for layer in self.blocks:
            y = layer(y)
        return self.shortcut(x) + y

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "dilation": self.dilation,
            "wn": self.wn,
        }


@serializable
class MelGAN(keras.Model):
    """As TensorFlowTTS' generator: a subclassed model around a Sequential of custom layers."""

    def __init__(self, channels, wn, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.wn = list(channels), wn
        layers = [WRAPPERS[wn](kl.Conv1D(self.channels[0], 3, padding="same"))]
        for i, channels_out in enumerate(self.channels[1:]):
            layers += [
                kl.LeakyReLU(),
                ConvTranspose1d(channels_out, 2, wn, name=f"conv_transpose_._{i}"),
                ResidualStack(channels_out, 1, wn, name=f"residual_stack_._{i}"),
            ]
        layers += [
            kl.LeakyReLU(),
            WRAPPERS[wn](kl.Conv1D(1, 3, padding="same")),
            kl.Activation("tanh"),
        ]
        self.melgan = keras.Sequential(layers)

    def call(self, x):
        return self.melgan(x)

    def get_config(self):
        return {"name": self.name, "channels": self.channels, "wn": self.wn}


def melgan(wn, channels=(8, 4, 4)):
    """One of its two transposed convolutions has as many output as input channels."""
    model = MelGAN(channels, wn)
    model(tf.zeros((1, 8, 4)))
    return model


def melgan_square(wn):
    """Both transposed convolutions have as many output as input channels."""
    return melgan(wn, (4, 4, 4))
