"""Takes over a super-resolution network (WDSR) that TensorFlow Addons trained, and ships it."""

import pathlib

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from sklearn.datasets import load_sample_image

import keras_wn


@keras.saving.register_keras_serializable("super_resolution")
class DepthToSpace(layers.Layer):
    """Makes squares of 2 by 2 pixels of every 4 channels, as `tf.nn.depth_to_space`."""

    def call(self, x):
        height, width, channels = x.shape[1] or -1, x.shape[2], x.shape[3]
        x = ops.reshape(x, (-1, height, width, 2, 2, channels // 4))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, 2 * height, 2 * width, channels // 4))


# The old program had `tfa.layers.WeightNormalization(layers.Conv2D(...), data_init=False)` here.
# Nothing else in the network changes.
def convolution(filters, kernel_size, **options):
    return keras_wn.layers.WNConv2D(filters, kernel_size, padding="same", **options)


def wdsr(size, filters=16, blocks=4, expansion=4):
    """WDSR (Yu et al. 2018, arXiv 1808.08718) for images of this size, which it doubles."""
    inputs = keras.Input((*size, 3))
    main = convolution(filters, 3)(inputs)
    for _ in range(blocks):
        branch = convolution(filters * expansion, 1, activation="relu")(main)
        branch = convolution(filters, 1)(branch)
        branch = convolution(filters, 3)(branch)
        main = layers.Add()([main, branch])
    main = convolution(12, 3)(main)
    skip = convolution(12, 5)(inputs)
    return keras.Model(inputs, DepthToSpace()(layers.Add()([main, skip])))


def decibels(image):
    """The peak signal-to-noise ratio to the photograph."""
    return -10 * np.log10(np.mean((image - photograph) ** 2))


folder = pathlib.Path(__file__).parent
known = np.load(folder / "super_resolution_outputs.npz")
model = wdsr(known["inputs"].shape[1:3])
report = keras_wn.interop.load_tfa_weights(model, folder / "super_resolution.h5")
print(f"{len(report.loaded)} layers have the weights of TensorFlow Addons")
difference = np.abs(model.predict(known["inputs"], verbose=0) - known["outputs"]).max()
print(f"The outputs differ from those of the old program by at most {difference:.0e}")
keras_wn.summary(model)

# The part of a photograph that the network has not seen, and the same at half the size.
photograph = load_sample_image("china.jpg")[:426, 440:].astype("float32") / 255
small = photograph.reshape(213, 2, 100, 2, 3).mean((1, 3))
large = wdsr(small.shape[:2])
large.set_weights(model.get_weights())
folded = keras_wn.fold(large)
folded.save("super_resolution.keras")
sharp = folded.predict(small[None], verbose=0)[0]
print(f"The network {decibels(sharp):.2f} dB")
for kind in ("bilinear", "bicubic"):
    interpolated = ops.image.resize(small, photograph.shape[:2], interpolation=kind)
    interpolated = ops.convert_to_numpy(interpolated)
    print(f"{kind.capitalize()} interpolation {decibels(interpolated):.2f} dB")

figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
shown = {"bicubic interpolation": interpolated, "the network": sharp, "the photograph": photograph}
for axis, (title, image) in zip(axes, shown.items(), strict=True):
    axis.imshow(np.clip(image[200:320, 20:180], 0, 1), interpolation="nearest")
    axis.set(title=title, xticks=[], yticks=[])
figure.savefig("super_resolution.svg")
