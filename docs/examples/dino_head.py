"""Trains a network without labels by self-distillation, with the weight-normalized head of DINO."""

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

import keras_wn

keras.utils.set_random_seed(0)
images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
train, held_out = slice(0, 1200), slice(1200, None)


def backbone():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, padding="same", activation="gelu"),
            layers.Conv2D(64, 3, 2, padding="same", activation="gelu"),
            layers.Flatten(),
            layers.Dense(64),
        ]
    )


def head(outputs):
    """DINO's projection head (Caron et al. 2021, arXiv 2104.14294, section 3.1).

    The last layer is weight-normalized with a gain of 1 that is not trained, after features of
    length 1: each output is the cosine between the features and one prototype.
    """
    return keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(64, activation="gelu"),
            layers.Dense(32),
            layers.UnitNormalization(),
            keras_wn.layers.WNDense(
                outputs, use_bias=False, gain_initializer="ones", trainable_gain=False
            ),
        ]
    )


class Dino(keras.Model):
    """A student that learns the outputs of its own moving average, on other views of the images."""

    def __init__(self, outputs=64):
        super().__init__()
        self.student = keras.Sequential([backbone(), head(outputs)])
        self.teacher = keras.Sequential([backbone(), head(outputs)])
        self.teacher.set_weights(self.student.get_weights())
        self.teacher.trainable = False
        self.center = self.add_weight(shape=(outputs,), initializer="zeros", trainable=False)
        self.augmentation = keras.Sequential(
            [
                layers.RandomTranslation(0.12, 0.12, fill_mode="constant"),
                layers.RandomRotation(0.04, fill_mode="constant"),
                layers.GaussianNoise(0.1),
            ]
        )

    def build(self, input_shape):
        """All parts have an Input, and are built."""

    def call(self, x, training=False):
        return self.student(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        views = [self.augmentation(x, training=True) for _ in range(2)]
        guesses = [ops.log_softmax(self.student(view) / 0.1) for view in views]
        raw = [ops.stop_gradient(self.teacher(view)) for view in views]
        targets = [ops.softmax((logits - self.center) / 0.04) for logits in raw]
        loss = -sum(
            ops.mean(ops.sum(t * g, -1)) for t, g in zip(targets, guesses[::-1], strict=True)
        )
        # The center keeps all images from getting the same output. The teacher follows slowly.
        self.center.assign(0.9 * self.center + 0.1 * ops.mean(ops.concatenate(raw), axis=0))
        for old, new in zip(self.teacher.weights, self.student.weights, strict=True):
            old.assign(0.99 * old + 0.01 * new)
        return loss / 2


def neighbors_accuracy(network):
    """The accuracy of nearest neighbors among the features of upright images, for moved images."""
    known, asked = (network.predict(x, verbose=0) for x in (images[train], moved))
    known, asked = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (known, asked))
    return KNeighborsClassifier(5).fit(known, labels[train]).score(asked, labels[held_out]), asked


model = Dino()
encoder = model.teacher.layers[0]
moved = ops.convert_to_numpy(model.augmentation(images[held_out], training=True))
before, features_before = neighbors_accuracy(encoder)
model.compile(keras.optimizers.Adam(1e-3))
model.fit(images[train], images[train], batch_size=100, epochs=80, verbose=0)
after, features_after = neighbors_accuracy(encoder)
gains = ops.convert_to_numpy(model.teacher.layers[1].layers[-1].g)
count = len(labels[held_out])
print(f"Accuracy of 5 nearest neighbors on {count} shifted and turned held-out images:")
print(f"{before:.3f} before, {after:.3f} after 80 epochs that saw no label")
print(f"The gains of the last layer are still {gains.min():.0f} to {gains.max():.0f}")

figure, axes = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
for axis, features, title in zip(
    axes, (features_before, features_after), ("before", "after"), strict=True
):
    plane = np.linalg.svd(features - features.mean(0), full_matrices=False)[0][:, :2]
    axis.scatter(*plane.T, c=labels[held_out], cmap="tab10", s=6)
    axis.set(title=f"features {title}, two main axes", xticks=[], yticks=[])
figure.savefig("dino_head.svg")
