"""Takes over a HiFi-GAN-style vocoder from PyTorch: its weights, its outputs, and its export."""

import os

import keras
import matplotlib.pyplot as plt
import numpy as np
import torch
from keras import layers
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

import keras_wn

MELS, CHANNELS, UPSAMPLING = 80, 32, (8, 8)


class TorchBlock(nn.Module):
    """A residual block of dilated convolutions (Kong et al. 2020, arXiv 2010.05646)."""

    def __init__(self, channels):
        super().__init__()
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv1d(channels, channels, 3, dilation=d, padding=d)) for d in (1, 3, 5)
        )

    def forward(self, x):
        for conv in self.convs:
            x = x + conv(nn.functional.leaky_relu(x, 0.1))
        return x


class TorchGenerator(nn.Module):
    """Makes 64 samples of sound from each frame of a mel spectrogram."""

    def __init__(self):
        super().__init__()
        self.conv_pre = weight_norm(nn.Conv1d(MELS, CHANNELS, 7, padding=3))
        self.ups, self.blocks = nn.ModuleList(), nn.ModuleList()
        for number, factor in enumerate(UPSAMPLING):
            inputs = CHANNELS // 2**number
            up = nn.ConvTranspose1d(inputs, inputs // 2, 2 * factor, factor, padding=factor // 2)
            self.ups.append(weight_norm(up))
            self.blocks.append(TorchBlock(inputs // 2))
        self.conv_post = weight_norm(nn.Conv1d(inputs // 2, 1, 7, padding=3))

    def forward(self, x):
        x = self.conv_pre(x)
        for up, block in zip(self.ups, self.blocks, strict=True):
            x = block(up(nn.functional.leaky_relu(x, 0.1)))
        return torch.tanh(self.conv_post(nn.functional.leaky_relu(x, 0.1)))


def keras_generator():
    """The same network. The layers are named as PyTorch's modules, so that they are matched."""
    leaky = layers.LeakyReLU(0.1)
    inputs = keras.Input((None, MELS))
    x = keras_wn.layers.WNConv1D(CHANNELS, 7, padding="same", name="conv_pre")(inputs)
    for number, factor in enumerate(UPSAMPLING):
        channels = CHANNELS // 2 ** (number + 1)
        # PyTorch's transposed convolution has a norm for each input channel: axis=(0, 1).
        up = layers.Conv1DTranspose(channels, 2 * factor, factor, padding="same")
        x = keras_wn.layers.WeightNormalization(up, axis=(0, 1), name=f"ups_{number}")(leaky(x))
        for place, dilation in enumerate((1, 3, 5)):
            branch = keras_wn.layers.WNConv1D(
                channels,
                3,
                padding="same",
                dilation_rate=dilation,
                name=f"blocks_{number}_convs_{place}",
            )(leaky(x))
            x = layers.Add()([x, branch])
    last = keras_wn.layers.WNConv1D(1, 7, padding="same", activation="tanh", name="conv_post")
    return keras.Model(inputs, last(leaky(x)))


# A trained checkpoint is read by `torch.load("generator.pt", weights_only=True)`.
torch.manual_seed(0)
generator = TorchGenerator().eval()
state_dict = generator.state_dict()

model = keras_generator()
report = keras_wn.interop.load_torch_state_dict(model, state_dict)
print(f"{len(report.loaded)} layers have the weights of PyTorch")

mel = np.random.default_rng(0).normal(size=(1, 40, MELS)).astype("float32")
with torch.no_grad():
    expected = generator(torch.from_numpy(mel.transpose(0, 2, 1))).numpy()[0, 0]
sound = model.predict(mel, verbose=0)[0, :, 0]
difference = np.abs(sound - expected).max()
print(f"{len(sound)} samples, which differ from PyTorch's by at most {difference:.0e}")

folded = keras_wn.fold(model)
difference = np.abs(folded.predict(mel, verbose=0)[0, :, 0] - sound).max()
print(f"Weights: {model.count_params():,}, and {folded.count_params():,} when folded")
print(f"The folded generator differs by at most {difference:.0e}")
folded.save("vocoder.keras")
if keras.backend.backend() != "torch":
    folded.export("vocoder", format="tf_saved_model", verbose=False)
    print("Exported:", ", ".join(sorted(os.listdir("vocoder"))))

figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.plot(expected[:400], label="PyTorch", linewidth=3, alpha=0.4)
axes.plot(sound[:400], label="Keras", linewidth=1)
axes.set(xlabel="sample", ylabel="amplitude")
axes.legend(loc="upper right")
figure.savefig("vocoder.svg")
