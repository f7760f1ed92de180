"""DINO's head, RealNVP and a temporal convolutional network, small, in Keras and in PyTorch."""

import keras
import numpy as np
import torch
from keras import layers as kl
from keras import ops
from torch import nn
from torch.nn import functional

from keras_wn.layers import WeightNormalization, WNConv1D, WNConv2D, WNDense

# DINO's projection head: `vision_transformer.py` of facebookresearch/dino, with use_bn=True and
# norm_last_layer=True.


def dino_head():
    # PyTorch's epsilon and momentum.
    norm = {"epsilon": 1e-5, "momentum": 0.9}
    length_one = {"gain_initializer": "ones", "trainable_gain": False}
    return keras.Sequential(
        [
            keras.Input((6,)),
            kl.Dense(8, name="mlp_0"),
            kl.BatchNormalization(**norm, name="mlp_1"),
            kl.Activation("gelu"),
            kl.Dense(8, name="mlp_3"),
            kl.BatchNormalization(**norm, name="mlp_4"),
            kl.Activation("gelu"),
            kl.Dense(5, name="mlp_6"),
            kl.UnitNormalization(),
            WNDense(10, use_bias=False, name="last_layer", **length_one),
        ]
    )


class DINOHead(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        layers = []
        for width in (6, 8):
            layers += [nn.Linear(width, 8), nn.BatchNorm1d(8), nn.GELU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(8, 5))
        self.last_layer = wrap(nn.Linear(5, 10, bias=False))
        for name, parameter in self.last_layer.named_parameters():
            if name.endswith(("weight_g", "original0")):
                parameter.data.fill_(1)
                parameter.requires_grad = False

    def forward(self, x):
        return self.last_layer(functional.normalize(self.mlp(x), dim=-1, p=2))


# RealNVP's coupling layers: `models/real_nvp/coupling_layer.py` and `models/resnet` of
# chrischute/real-nvp.

MIDDLE = 4


def batch_norm(name):
    return kl.BatchNormalization(epsilon=1e-5, momentum=0.9, name=name)


def convolution(filters, kernel_size, name, **kwargs):
    return WNConv2D(filters, kernel_size, padding="same", name=name, **kwargs)


@keras.saving.register_keras_serializable("tests")
class ResidualBlock(kl.Layer):
    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.in_norm = batch_norm("in_norm")
        self.in_conv = convolution(channels, 3, "in_conv", use_bias=False)
        self.out_norm = batch_norm("out_norm")
        self.out_conv = convolution(channels, 3, "out_conv")

    def build(self, input_shape):
        for layer in (self.in_norm, self.in_conv, self.out_norm, self.out_conv):
            layer.build((*input_shape[:-1], self.channels))
        super().build(input_shape)

    def call(self, x, training=False):
        y = self.in_conv(ops.relu(self.in_norm(x, training=training)))
        return x + self.out_conv(ops.relu(self.out_norm(y, training=training)))

    def get_config(self):
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable("tests")
class Rescale(kl.Layer):
    """A factor per channel, in the shape that PyTorch's has: (channels, 1, 1)."""

    def build(self, input_shape):
        shape = (input_shape[-1], 1, 1)
        self.weight = self.add_weight(name="weight", shape=shape, initializer="ones")

    def call(self, x):
        return x * ops.reshape(self.weight, (-1,))


def scale_and_translation(x, channels, name, double_after_norm):
    """s and t of a coupling layer, before s is rescaled."""
    x = batch_norm(f"{name}_st_net_in_norm")(x)
    x = x * 2 if double_after_norm else x
    x = ops.relu(ops.concatenate([x, -x], axis=-1))
    x = convolution(MIDDLE, 3, f"{name}_st_net_in_conv")(x)
    skip = convolution(MIDDLE, 1, f"{name}_st_net_in_skip")(x)
    x = ResidualBlock(MIDDLE, name=f"{name}_st_net_blocks_0")(x)
    x = skip + convolution(MIDDLE, 1, f"{name}_st_net_skips_0")(x)
    x = ops.relu(batch_norm(f"{name}_st_net_out_norm")(x))
    st = convolution(2 * channels, 1, f"{name}_st_net_out_conv")(x)
    norm = {"weights": ["weight"], "axis": (1, 2)}
    rescale = WeightNormalization(Rescale(), name=f"{name}_rescale", **norm)
    return rescale(ops.tanh(st[..., :channels])), st[..., channels:]


_CONVOLUTIONS = {
    "in_conv": "in_conv",
    "in_skip": "in_skip",
    "blocks_0/in_conv": "blocks.0.in_conv",
    "blocks_0/out_conv": "blocks.0.out_conv",
    "skips_0": "skips.0",
    "out_conv": "out_conv",
}
# PyTorch has a module around each convolution.
REAL_NVP_NAMES = {
    f"couplings_{i}_st_net_{layer}": f"couplings.{i}.st_net.{module}.conv"
    for i in (0, 1)
    for layer, module in _CONVOLUTIONS.items()
}


def real_nvp():
    """A coupling layer with a checkerboard mask and another one with a mask of channels.

    The outputs are those of the last layer and the logarithm of the determinant.
    """
    x = inputs = keras.Input((4, 4, 4))
    mask = np.indices((4, 4)).sum(0)[..., None].astype("float32") % 2
    s, t = scale_and_translation(x * mask, 4, "couplings_0", double_after_norm=True)
    s, t = s * (1 - mask), t * (1 - mask)
    x = (x + t) * ops.exp(s)
    log_determinant = ops.sum(s, axis=(1, 2, 3))
    change, same = x[..., :2], x[..., 2:]
    s, t = scale_and_translation(same, 2, "couplings_1", double_after_norm=False)
    x = ops.concatenate([(change + t) * ops.exp(s), same], axis=-1)
    return keras.Model(inputs, [x, log_determinant + ops.sum(s, axis=(1, 2, 3))])


class TorchWNConv2d(nn.Module):
    def __init__(self, wrap, *sizes, **kwargs):
        super().__init__()
        self.conv = wrap(nn.Conv2d(*sizes, **kwargs))

    def forward(self, x):
        return self.conv(x)


class TorchResidualBlock(nn.Module):
    def __init__(self, wrap, channels):
        super().__init__()
        self.in_norm = nn.BatchNorm2d(channels)
        self.in_conv = TorchWNConv2d(wrap, channels, channels, 3, padding=1, bias=False)
        self.out_norm = nn.BatchNorm2d(channels)
        self.out_conv = TorchWNConv2d(wrap, channels, channels, 3, padding=1)

    def forward(self, x):
        y = self.in_conv(torch.relu(self.in_norm(x)))
        return x + self.out_conv(torch.relu(self.out_norm(y)))


class TorchResNet(nn.Module):
    def __init__(self, wrap, channels, double_after_norm):
        super().__init__()
        self.factor = 2.0 if double_after_norm else 1.0
        self.in_norm = nn.BatchNorm2d(channels)
        self.in_conv = TorchWNConv2d(wrap, 2 * channels, MIDDLE, 3, padding=1)
        self.in_skip = TorchWNConv2d(wrap, MIDDLE, MIDDLE, 1)
        self.blocks = nn.ModuleList([TorchResidualBlock(wrap, MIDDLE)])
        self.skips = nn.ModuleList([TorchWNConv2d(wrap, MIDDLE, MIDDLE, 1)])
        self.out_norm = nn.BatchNorm2d(MIDDLE)
        self.out_conv = TorchWNConv2d(wrap, MIDDLE, 2 * channels, 1)

    def forward(self, x):
        x = self.in_norm(x) * self.factor
        x = self.in_conv(torch.relu(torch.cat([x, -x], dim=1)))
        skip = self.in_skip(x)
        for block, conv in zip(self.blocks, self.skips, strict=True):
            x = block(x)
            skip = skip + conv(x)
        return self.out_conv(torch.relu(self.out_norm(skip)))


class TorchRescale(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x):
        return self.weight * x


class Coupling(nn.Module):
    def __init__(self, wrap, channels, checkerboard):
        super().__init__()
        self.checkerboard = checkerboard
        channels = channels if checkerboard else channels // 2
        self.st_net = TorchResNet(wrap, channels, checkerboard)
        self.rescale = wrap(TorchRescale(channels))

    def forward(self, x):
        if self.checkerboard:
            mask = torch.tensor(np.indices(x.shape[2:]).sum(0) % 2, dtype=x.dtype)
            s, t = self.st_net(x * mask).chunk(2, dim=1)
            s, t = self.rescale(torch.tanh(s)) * (1 - mask), t * (1 - mask)
            return (x + t) * s.exp(), s.flatten(1).sum(1)
        change, same = x.chunk(2, dim=1)
        s, t = self.st_net(same).chunk(2, dim=1)
        s = self.rescale(torch.tanh(s))
        return torch.cat([(change + t) * s.exp(), same], dim=1), s.flatten(1).sum(1)


class RealNVP(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.couplings = nn.ModuleList([Coupling(wrap, 4, True), Coupling(wrap, 4, False)])

    def forward(self, x):
        x, log_determinant = x.permute(0, 3, 1, 2), 0
        for coupling in self.couplings:
            x, log_determinant_of_coupling = coupling(x)
            log_determinant = log_determinant + log_determinant_of_coupling
        return x.permute(0, 2, 3, 1), log_determinant


# A temporal convolutional network: `TCN/tcn.py` of locuslab/TCN. Each convolution is registered
# twice there.


@keras.saving.register_keras_serializable("tests")
class TemporalBlock(kl.Layer):
    def __init__(self, filters, dilation, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.dilation = filters, dilation
        causal = {"padding": "causal", "dilation_rate": dilation, "activation": "relu"}
        self.conv1 = WNConv1D(filters, 2, name="conv1", **causal)
        self.conv2 = WNConv1D(filters, 2, name="conv2", **causal)
        self.dropout = kl.Dropout(0.2)
        self.downsample = None

    def build(self, input_shape):
        self.conv1.build(input_shape)
        self.conv2.build((*input_shape[:-1], self.filters))
        if input_shape[-1] != self.filters:
            self.downsample = kl.Conv1D(self.filters, 1, name="downsample")
            self.downsample.build(input_shape)
        super().build(input_shape)

    def call(self, x, training=False):
        y = self.dropout(self.conv1(x), training=training)
        y = self.dropout(self.conv2(y), training=training)
        return ops.relu(y + (x if self.downsample is None else self.downsample(x)))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "dilation": self.dilation}


def temporal_network():
    blocks = [TemporalBlock(n, 2**i, name=f"network_{i}") for i, n in enumerate((5, 5, 4))]
    return keras.Sequential([keras.Input((None, 3)), *blocks])


class Chomp1d(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, x):
        return x[:, :, : -self.size].contiguous()


class TorchTemporalBlock(nn.Module):
    def __init__(self, wrap, channels, filters, dilation):
        super().__init__()
        self.conv1 = wrap(nn.Conv1d(channels, filters, 2, padding=dilation, dilation=dilation))
        self.conv2 = wrap(nn.Conv1d(filters, filters, 2, padding=dilation, dilation=dilation))
        parts = []
        for conv in (self.conv1, self.conv2):
            parts += [conv, Chomp1d(dilation), nn.ReLU(), nn.Dropout(0.2)]
        self.net = nn.Sequential(*parts)
        self.downsample = nn.Conv1d(channels, filters, 1) if channels != filters else None

    def forward(self, x):
        return torch.relu(self.net(x) + (x if self.downsample is None else self.downsample(x)))


class TemporalConvNet(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        sizes = ((3, 5), (5, 5), (5, 4))
        blocks = [TorchTemporalBlock(wrap, *size, 2**i) for i, size in enumerate(sizes)]
        self.network = nn.Sequential(*blocks)

    def forward(self, x):
        return self.network(x.transpose(1, 2)).transpose(1, 2)
