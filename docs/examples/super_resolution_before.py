"""The old program: trains a WDSR with TensorFlow Addons on Keras 2, and writes its weights.

It wrote super_resolution.h5 with tensorflow 2.15.1 and tensorflow-addons 0.23.0, and does not run
with Keras 3. super_resolution.py takes over its weights.
"""

import sys

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa
from tensorflow.keras import layers


def convolution(filters, kernel_size, **options):
    return tfa.layers.WeightNormalization(
        layers.Conv2D(filters, kernel_size, padding="same", **options), data_init=False
    )


def wdsr(filters=16, blocks=4, expansion=4):
    inputs = tf.keras.Input((None, None, 3))
    main = convolution(filters, 3)(inputs)
    for _ in range(blocks):
        branch = convolution(filters * expansion, 1, activation="relu")(main)
        branch = convolution(filters, 1)(branch)
        branch = convolution(filters, 3)(branch)
        main = layers.Add()([main, branch])
    main = convolution(12, 3)(main)
    skip = convolution(12, 5)(inputs)
    outputs = layers.Lambda(lambda x: tf.nn.depth_to_space(x, 2))(layers.Add()([main, skip]))
    return tf.keras.Model(inputs, outputs)


def crops(image, count, seed):
    """Random crops of 64 pixels, and the same at half the size."""
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, image.shape[0] - 64, count)
    columns = generator.integers(0, image.shape[1] - 64, count)
    large = np.stack([image[r : r + 64, c : c + 64] for r, c in zip(rows, columns, strict=True)])
    return large.reshape(count, 32, 2, 32, 2, 3).mean((2, 4)), large


if __name__ == "__main__":
    tf.keras.utils.set_random_seed(0)
    # The left part of scikit-learn's photograph of a temple, as numbers from 0 to 1.
    small, large = crops(np.load(sys.argv[1])[:, :440], 3000, seed=0)
    model = wdsr()
    rate = tf.keras.optimizers.schedules.CosineDecay(2e-3, 40 * 188)
    model.compile(tf.keras.optimizers.Adam(rate), "mae")
    model.fit(small, large, batch_size=16, epochs=40, verbose=2)
    model.save_weights("super_resolution.h5")
    # An input that is not in the photograph, and what this program makes of it.
    image = np.random.default_rng(0).uniform(size=(1, 12, 12, 3)).astype("float32")
    np.savez("super_resolution_outputs.npz", inputs=image, outputs=model.predict(image))
