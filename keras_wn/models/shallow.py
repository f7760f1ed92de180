"""The shallow convolutional net of the CIFAR-10 experiments, built from a method card."""

import keras

from keras_wn.methods import Place
from keras_wn.models.resnet import checked


def shallow(method="wn", input_shape=(28, 28, 3), classes=10, join=None, dropout=0.0):
    """Eight convolutions without shortcuts, three of 128 filters, three of 256, two of 320, the mean over positions, and the classifier.

    Args:
        method, input_shape, classes: As `keras_wn.models.resnet`. The paper's input is 28x28.
        join: Ignored: there is nothing to join.
        dropout: Float in [0, 1), rate before the last convolution.

    Returns:
        Functional Keras model from images to logits in float32.

    Raises:
        ValueError: For an unknown method or join, and for numbers out of range.

    Example:

    >>> import keras_wn
    >>> model = keras_wn.models.shallow(method="wn")
    >>> tuple(model.output.shape)
    (None, 10)

    Reference: The layout is nvcaffe's `cifar10_nv`, which Gitman & Ginsburg's "shallow net" is taken to be: the paper does not print
    it. The classifier is the method's own on the mean of the last features; there, a 1x1 convolution before the mean: the same function
    where the classifier is linear. Padding is "same" everywhere; there, not in the first convolution of 320.
    """
    card, _ = checked(method, classes, join, dropout)
    inputs = x = keras.Input(input_shape)
    # (filters, kernel size) of each convolution; None is a pooling of 3x3 with stride 2.
    shapes = [(128, 3)] * 3 + [None] + [(256, 3)] * 3 + [None] + [(320, 3), (320, 1)]
    for i, shape in enumerate(shapes, start=1):
        if shape is None:
            x = keras.layers.MaxPooling2D(3, 2, padding="same", name=f"pool{i}")(x)
        else:
            x = card.activation(f"act{i}")(card.convolution(x, *shape, 1, Place("inner"), f"conv{i}"))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, card.head(classes, "logits")(x), name=f"shallow_{card.name}")
