"""Builds networks for images of 32 pixels from a method card: a ResNet v1 and a shallow one."""

import keras

from keras_wn.methods import MethodCard, Place
from keras_wn.models.resnet import checked, residual_stages

_RESNET_FILTERS = (16, 32, 64)


def cifar_resnet(
    depth: int,
    method: str | MethodCard = "wn",
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    join: str | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a ResNet v1 for CIFAR.

    It has a 3x3 convolution and three stages of `(depth - 2) / 6` blocks, with 16, 32 and 64
    filters.

    Args:
        depth: Integer of the form 6 n + 2: 20, 32, 44, 56 and 110 in the paper. `--model` also
            knows 8 and 14.
        method, input_shape, classes, join, dropout: The same as for `keras_wn.models.resnet`.

    Returns:
        Functional Keras model from images to logits in float32. Its layers are named as those of
        `keras_wn.models.resnet`.

    Raises:
        ValueError: If `depth` is not of the form 6 n + 2, if the method or the join is unknown, or
            if a number is out of range.

    Example:

    >>> import keras_wn
    >>> keras_wn.models.cifar_resnet(20, method="bn").count_params()
    274042

    Reference: He et al. 2016, arXiv 1512.03385, section 4.2. A shortcut that changes the number of
    filters is a 1x1 convolution with the method's normalization, as in this package's ImageNet
    networks. In the paper, it pads with zeros and has no parameters.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(
            f"Unknown depth {depth!r} of a CIFAR ResNet. "
            "Allowed: 6 n + 2, as 20, 32, 44, 56 and 110."
        )
    method = checked(method, classes, join, dropout)
    blocks = (depth - 2) // 6

    inputs = keras.Input(input_shape)
    x = method.add_convolution(inputs, _RESNET_FILTERS[0], 3, 1, Place("stem"), "stem_conv")
    x = method.add_main_activation(x, "stem_out")
    x = residual_stages(x, method, [(filters, blocks) for filters in _RESNET_FILTERS], False)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    outputs = method.add_classifier(x, classes, "logits")
    return keras.Model(inputs, outputs, name=f"cifar_resnet{depth}_{method.name}")


def shallow(
    method: str | MethodCard = "wn",
    input_shape: tuple[int, int, int] = (28, 28, 3),
    classes: int = 10,
    join: str | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds the shallow convolutional network of the CIFAR-10 experiments.

    It has eight convolutions without shortcuts, three of 128 filters, three of 256 and two of 320,
    followed by the mean over positions and the classifier.

    Args:
        method, input_shape, classes: The same as for `keras_wn.models.resnet`. The input of the
            paper is 28x28.
        join: Ignored, because the network has no shortcuts.
        dropout: Float in [0, 1), the dropout rate before the classifier.

    Returns:
        Functional Keras model from images to logits in float32.

    Raises:
        ValueError: If the method or the join is unknown, or if a number is out of range.

    Example:

    >>> import keras_wn
    >>> model = keras_wn.models.shallow(method="wn")
    >>> tuple(model.output.shape)
    (None, 10)

    Reference: the layout is that of nvcaffe's `cifar10_nv`, which is taken to be the "shallow net"
    of Gitman & Ginsburg; their paper does not print it. The classifier is that of the method, on
    the mean of the last features. In nvcaffe, it is a 1x1 convolution before the mean, which is the
    same function if the classifier is linear. Padding is "same" everywhere; in nvcaffe, not in the
    first convolution with 320 filters.
    """
    method = checked(method, classes, join, dropout)
    # The (filters, kernel size) of each convolution. `None` is a 3x3 max-pooling with stride 2.
    shapes = [(128, 3)] * 3 + [None] + [(256, 3)] * 3 + [None] + [(320, 3), (320, 1)]

    inputs = x = keras.Input(input_shape)
    for i, shape in enumerate(shapes, start=1):
        if shape is None:
            x = keras.layers.MaxPooling2D(3, 2, padding="same", name=f"pool{i}")(x)
        else:
            place = Place("inner")
            x = method.add_convolution(x, *shape, 1, place, f"conv{i}")
            x = method.add_activation(x, f"act{i}", place)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    outputs = method.add_classifier(x, classes, "logits")
    return keras.Model(inputs, outputs, name=f"shallow_{method.name}")
