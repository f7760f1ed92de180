"""A small WaveNet and a small HiFi-GAN generator, each in Keras and in PyTorch, of the same shape."""

import keras
import torch
from keras import layers as kl
from torch.nn import functional

CHANNELS = 6


def wavenet(wrap):
    """Gated dilated causal convolutions with residual and skip connections; `wrap(layer)` normalizes each."""
    x = inputs = keras.Input((None, 1))
    x = wrap(kl.Conv1D(CHANNELS, 1, name="start"))(x)
    skips = []
    for i, dilation in enumerate((1, 2, 4)):
        gated = wrap(kl.Conv1D(2 * CHANNELS, 2, padding="causal", dilation_rate=dilation, name=f"gate_{i}"))(x)
        gated = keras.ops.tanh(gated[..., :CHANNELS]) * keras.ops.sigmoid(gated[..., CHANNELS:])
        skips.append(wrap(kl.Conv1D(CHANNELS, 1, name=f"skip_{i}"))(gated))
        x = x + wrap(kl.Conv1D(CHANNELS, 1, name=f"residual_{i}"))(gated)
    x = keras.ops.relu(x + skips[0] + skips[1] + skips[2])
    return keras.Model(inputs, wrap(kl.Dense(4, name="end"))(x))


class WaveNet(torch.nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.start = wrap(torch.nn.Conv1d(1, CHANNELS, 1))
        self.gate, self.skip, self.residual = (torch.nn.ModuleList() for _ in range(3))
        for dilation in (1, 2, 4):
            self.gate.append(wrap(torch.nn.Conv1d(CHANNELS, 2 * CHANNELS, 2, dilation=dilation)))
            self.skip.append(wrap(torch.nn.Conv1d(CHANNELS, CHANNELS, 1)))
            self.residual.append(wrap(torch.nn.Conv1d(CHANNELS, CHANNELS, 1)))
        self.end = wrap(torch.nn.Linear(CHANNELS, 4))

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
    """Transposed convolutions that upsample, each with dilated residual blocks behind it."""
    x = inputs = keras.Input((None, 5))
    x = wrap(kl.Conv1D(8, 7, padding="same", name="conv_pre"))(x)
    for i, (channels, factor) in enumerate(((6, 4), (4, 2))):
        x = keras.ops.leaky_relu(x, 0.1)
        x = wrap(kl.Conv1DTranspose(channels, 2 * factor, factor, padding="same", name=f"ups_{i}"))(x)
        for j, dilation in enumerate((1, 3)):
            conv = kl.Conv1D(channels, 3, padding="same", dilation_rate=dilation, name=f"resblocks_{2 * i + j}")
            x = x + wrap(conv)(keras.ops.leaky_relu(x, 0.1))
    return keras.Model(inputs, keras.ops.tanh(wrap(kl.Conv1D(1, 7, padding="same", name="conv_post"))(x)))


class HiFiGAN(torch.nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.conv_pre = wrap(torch.nn.Conv1d(5, 8, 7, padding=3))
        self.ups, self.resblocks = torch.nn.ModuleList(), torch.nn.ModuleList()
        width = 8
        for channels, factor in ((6, 4), (4, 2)):
            self.ups.append(wrap(torch.nn.ConvTranspose1d(width, channels, 2 * factor, factor, padding=factor // 2)))
            for dilation in (1, 3):
                self.resblocks.append(wrap(torch.nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)))
            width = channels
        self.conv_post = wrap(torch.nn.Conv1d(4, 1, 7, padding=3))

    def forward(self, x):
        x = self.conv_pre(x.transpose(1, 2))
        for i, up in enumerate(self.ups):
            x = up(functional.leaky_relu(x, 0.1))
            for block in self.resblocks[2 * i : 2 * i + 2]:
                x = x + block(functional.leaky_relu(x, 0.1))
        return torch.tanh(self.conv_post(x)).transpose(1, 2)
