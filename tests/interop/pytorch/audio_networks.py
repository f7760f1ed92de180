"""Small networks that work on sound, each in Keras and in PyTorch.

WaveNet and HiFi-GAN's generator take a function that normalizes each of their layers, so that they
can be made plain, wrapped, or with the subclasses. The others are written as a user of Keras would
write them.
"""

import keras
import numpy as np
import torch
from keras import layers as kl
from keras import ops
from torch import nn
from torch.nn import functional

from keras_wn.layers import WeightNormalization, WNConv1D

CHANNELS = 6


def wavenet(wrap):
    """Gated dilated causal convolutions with residual and skip connections."""
    x = inputs = keras.Input((None, 1))
    x = wrap(kl.Conv1D(CHANNELS, 1, name="start"))(x)
    skips = []
    for i, dilation in enumerate((1, 2)):
        causal = {"padding": "causal", "dilation_rate": dilation}
        gated = wrap(kl.Conv1D(2 * CHANNELS, 2, name=f"gate_{i}", **causal))(x)
        gated = ops.tanh(gated[..., :CHANNELS]) * ops.sigmoid(gated[..., CHANNELS:])
        skips.append(wrap(kl.Conv1D(CHANNELS, 1, name=f"skip_{i}"))(gated))
        x = x + wrap(kl.Conv1D(CHANNELS, 1, name=f"residual_{i}"))(gated)
    x = ops.relu(x + skips[0] + skips[1])
    return keras.Model(inputs, wrap(kl.Dense(4, name="end"))(x))


class WaveNet(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.start = wrap(nn.Conv1d(1, CHANNELS, 1))
        self.gate, self.skip, self.residual = (nn.ModuleList() for _ in range(3))
        for dilation in (1, 2):
            self.gate.append(wrap(nn.Conv1d(CHANNELS, 2 * CHANNELS, 2, dilation=dilation)))
            self.skip.append(wrap(nn.Conv1d(CHANNELS, CHANNELS, 1)))
            self.residual.append(wrap(nn.Conv1d(CHANNELS, CHANNELS, 1)))
        self.end = wrap(nn.Linear(CHANNELS, 4))

    def forward(self, x):
        x = self.start(x.transpose(1, 2))
        skips = 0
        for gate, skip, residual in zip(self.gate, self.skip, self.residual, strict=True):
            gated = gate(functional.pad(x, (gate.dilation[0], 0)))
            gated = torch.tanh(gated[:, :CHANNELS]) * torch.sigmoid(gated[:, CHANNELS:])
            skips = skips + skip(gated)
            x = x + residual(gated)
        return self.end(torch.relu(x + skips).transpose(1, 2))


def hifigan(wrap):
    """Transposed convolutions that upsample, each with dilated residual blocks after it."""
    x = inputs = keras.Input((None, 5))
    x = wrap(kl.Conv1D(8, 7, padding="same", name="conv_pre"))(x)
    for i, (channels, factor) in enumerate(((6, 4), (4, 2))):
        x = ops.leaky_relu(x, 0.1)
        up = kl.Conv1DTranspose(channels, 2 * factor, factor, padding="same", name=f"ups_{i}")
        x = wrap(up)(x)
        for j, dilation in enumerate((1, 3)):
            name = f"resblocks_{2 * i + j}"
            conv = kl.Conv1D(channels, 3, padding="same", dilation_rate=dilation, name=name)
            x = x + wrap(conv)(ops.leaky_relu(x, 0.1))
    x = wrap(kl.Conv1D(1, 7, padding="same", name="conv_post"))(x)
    return keras.Model(inputs, ops.tanh(x))


class HiFiGAN(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.conv_pre = wrap(nn.Conv1d(5, 8, 7, padding=3))
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        width = 8
        for channels, factor in ((6, 4), (4, 2)):
            up = nn.ConvTranspose1d(width, channels, 2 * factor, factor, padding=factor // 2)
            self.ups.append(wrap(up))
            for dilation in (1, 3):
                conv = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
                self.resblocks.append(wrap(conv))
            width = channels
        self.conv_post = wrap(nn.Conv1d(4, 1, 7, padding=3))

    def forward(self, x):
        x = self.conv_pre(x.transpose(1, 2))
        for i, up in enumerate(self.ups):
            x = up(functional.leaky_relu(x, 0.1))
            for block in self.resblocks[2 * i : 2 * i + 2]:
                x = x + block(functional.leaky_relu(x, 0.1))
        return torch.tanh(self.conv_post(x)).transpose(1, 2)


# EnCodec's encoder: `encodec/modules/seanet.py` of facebookresearch/encodec, with two LSTM layers
# near its end.


@keras.saving.register_keras_serializable("tests")
class CausalConv1D(kl.Layer):
    """A weight-normalized convolution after reflected samples of the past."""

    def __init__(self, filters, kernel_size, strides=1, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.strides = filters, kernel_size, strides
        self.conv = WNConv1D(filters, kernel_size, strides, name="conv")

    def build(self, input_shape):
        self.conv.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        past = self.kernel_size - self.strides
        return self.conv(ops.pad(x, [[0, 0], [past, 0], [0, 0]], mode="reflect"))

    def compute_output_shape(self, input_shape):
        batch, length, _ = input_shape
        return (batch, length // self.strides, self.filters)

    def get_config(self):
        sizes = {"filters": self.filters, "kernel_size": self.kernel_size, "strides": self.strides}
        return {**super().get_config(), **sizes}


@keras.saving.register_keras_serializable("tests")
class SEANetBlock(kl.Layer):
    def __init__(self, dim, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.narrow = CausalConv1D(dim // 2, 3, name="block_1")
        self.wide = CausalConv1D(dim, 1, name="block_3")
        self.shortcut = CausalConv1D(dim, 1, name="shortcut")

    def build(self, input_shape):
        self.narrow.build(input_shape)
        self.wide.build((*input_shape[:-1], self.dim // 2))
        self.shortcut.build(input_shape)
        super().build(input_shape)

    def call(self, x):
        return self.shortcut(x) + self.wide(ops.elu(self.narrow(ops.elu(x))))

    def get_config(self):
        return {**super().get_config(), "dim": self.dim}


def encodec():
    x = inputs = keras.Input((20, 1))
    x = CausalConv1D(4, 7)(x)
    x = SEANetBlock(4)(x)
    x = CausalConv1D(8, 4, 2)(ops.elu(x))
    y = kl.LSTM(8, return_sequences=True)(x)
    x = x + kl.LSTM(8, return_sequences=True)(y)
    return keras.Model(inputs, CausalConv1D(6, 7)(ops.elu(x)))


class NormConv1d(nn.Module):
    def __init__(self, wrap, *sizes, **kwargs):
        super().__init__()
        self.conv = wrap(nn.Conv1d(*sizes, **kwargs))

    def forward(self, x):
        return self.conv(x)


class SConv1d(nn.Module):
    def __init__(self, wrap, channels, filters, kernel_size, stride=1):
        super().__init__()
        self.past = kernel_size - stride
        self.conv = NormConv1d(wrap, channels, filters, kernel_size, stride)

    def forward(self, x):
        return self.conv(functional.pad(x, (self.past, 0), mode="reflect"))


class SEANetResnetBlock(nn.Module):
    def __init__(self, wrap, dim):
        super().__init__()
        narrow, wide = SConv1d(wrap, dim, dim // 2, 3), SConv1d(wrap, dim // 2, dim, 1)
        self.block = nn.Sequential(nn.ELU(), narrow, nn.ELU(), wide)
        self.shortcut = SConv1d(wrap, dim, dim, 1)

    def forward(self, x):
        return self.shortcut(x) + self.block(x)


class SLSTM(nn.Module):
    def __init__(self, dimension):
        super().__init__()
        self.lstm = nn.LSTM(dimension, dimension, 2)

    def forward(self, x):
        x = x.permute(2, 0, 1)
        return (self.lstm(x)[0] + x).permute(1, 2, 0)


class SEANetEncoder(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.model = nn.Sequential(
            SConv1d(wrap, 1, 4, 7),
            SEANetResnetBlock(wrap, 4),
            nn.ELU(),
            SConv1d(wrap, 4, 8, 4, 2),
            SLSTM(8),
            nn.ELU(),
            SConv1d(wrap, 8, 6, 7),
        )

    def forward(self, x):
        return self.model(x.transpose(1, 2)).transpose(1, 2)


# The positional convolution of wav2vec 2.0, `Wav2Vec2PositionalConvEmbedding` in transformers: one
# norm per position of the kernel.


def positional_convolution():
    x = inputs = keras.Input((None, 8))
    # PyTorch pads by half the kernel on either side and drops the last output of an even kernel.
    y = kl.ZeroPadding1D((2, 1))(x)
    y = WeightNormalization(kl.Conv1D(8, 4, groups=2), axis=(1, 2), name="conv")(y)
    x = x + kl.Activation("gelu")(y)
    return keras.Model(inputs, kl.LayerNormalization(epsilon=1e-5, name="layer_norm")(x))


class PositionalConvolution(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.conv = wrap(nn.Conv1d(8, 8, 4, padding=2, groups=2), name="weight", dim=2)
        self.layer_norm = nn.LayerNorm(8)

    def forward(self, x):
        y = self.conv(x.transpose(1, 2))[:, :, :-1].transpose(1, 2)
        return self.layer_norm(x + functional.gelu(y))


# A block of the Descript Audio Codec's encoder: `dac/model/dac.py` of
# descriptinc/descript-audio-codec.


@keras.saving.register_keras_serializable("tests")
class Snake(kl.Layer):
    """x + sin^2(alpha x) / alpha; alpha has the shape that PyTorch's has, (1, channels, 1)."""

    def build(self, input_shape):
        shape = (1, input_shape[-1], 1)
        self.alpha = self.add_weight(name="alpha", shape=shape, initializer="ones")

    def call(self, x):
        alpha = ops.reshape(self.alpha, (1, 1, -1))
        return x + ops.square(ops.sin(alpha * x)) / (alpha + 1e-9)


def dac():
    x = inputs = keras.Input((None, 4))
    for dilation in (1, 3):
        y = WNConv1D(4, 7, padding="same", dilation_rate=dilation)(Snake()(x))
        x = x + WNConv1D(4, 1)(Snake()(y))
    x = kl.ZeroPadding1D(1)(Snake()(x))
    return keras.Model(inputs, WNConv1D(8, 4, 2)(x))


class Snake1d(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.alpha = nn.Parameter(0.5 + torch.rand(1, channels, 1))

    def forward(self, x):
        return x + (self.alpha + 1e-9).reciprocal() * torch.sin(self.alpha * x).pow(2)


class ResidualUnit(nn.Module):
    def __init__(self, wrap, dim, dilation):
        super().__init__()
        wide = wrap(nn.Conv1d(dim, dim, 7, dilation=dilation, padding=3 * dilation))
        self.block = nn.Sequential(Snake1d(dim), wide, Snake1d(dim), wrap(nn.Conv1d(dim, dim, 1)))

    def forward(self, x):
        return x + self.block(x)


class EncoderBlock(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        units = [ResidualUnit(wrap, 4, dilation) for dilation in (1, 3)]
        down = wrap(nn.Conv1d(4, 8, 4, stride=2, padding=1))
        self.block = nn.Sequential(*units, Snake1d(4), down)

    def forward(self, x):
        return self.block(x.transpose(1, 2)).transpose(1, 2)


def sound(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")
