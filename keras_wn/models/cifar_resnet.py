"""ResNet v1 for images of 32 pixels, built from a method card."""

import keras

from keras_wn.methods import Place
from keras_wn.models.resnet import checked, residual_block

_FILTERS = (16, 32, 64)


def cifar_resnet(depth, method="wn", input_shape=(32, 32, 3), classes=10, join=None, dropout=0.0):
    """ResNet v1 for CIFAR: a 3x3 convolution and three stages of `(depth - 2) / 6` blocks with 16, 32 and 64 filters.

    Args:
        depth: Integer, 6 n + 2: 20, 32, 44, 56 and 110 in the paper; `--model` knows 8 and 14 as well.
        method, input_shape, classes, join, dropout: As `keras_wn.models.resnet`.

    Returns:
        Functional Keras model from images to logits in float32, with names as `keras_wn.models.resnet`'s.

    Raises:
        ValueError: For a depth that is not 6 n + 2, an unknown method or join, and for numbers out of range.

    Example:

    >>> import keras_wn
    >>> keras_wn.models.cifar_resnet(20, method="bn").count_params()
    274042

    Reference: He et al. 2016, arXiv 1512.03385, section 4.2. The shortcut that changes the number of filters is a 1x1 convolution with
    the method's normalization, as in the ImageNet nets here; theirs pads with zeros, without parameters.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"Unknown depth {depth!r} of a CIFAR ResNet. Allowed: 6 n + 2, as 20, 32, 44, 56 and 110.")
    card, join = checked(method, classes, join, dropout)
    inputs = keras.Input(input_shape)
    blocks = (depth - 2) // 6
    x = card.main_activation("stem_out")(card.convolution(inputs, _FILTERS[0], 3, 1, Place("stem"), "stem_conv"))
    for stage, filters in enumerate(_FILTERS, start=1):
        for block in range(1, blocks + 1):
            strides = 2 if block == 1 and stage > 1 else 1
            x = residual_block(x, card, join, filters, strides, False, blocks, f"stage{stage}_block{block}")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, card.head(classes, "logits")(x), name=f"cifar_resnet{depth}_{card.name}")
