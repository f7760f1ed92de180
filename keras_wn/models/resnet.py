"""ResNet v1, built from a method card."""

import keras

from keras_wn import methods
from keras_wn.methods import Place

# Depth -> (blocks in each of the four stages, bottleneck?): He et al. 2016, arXiv 1512.03385, table 1.
_LAYOUTS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


def resnet(depth, method="wn", input_shape=(224, 224, 3), classes=1000, join=None, dropout=0.0):
    """ResNet v1 of a given depth with the convolutions, activations, joins and classifier of a method.

    Args:
        depth: 18, 34, 50, 101 or 152.
        method: Name of a method (`keras_wn.methods.names()`) or a `MethodCard`.
        input_shape: Tuple `(height, width, channels)`.
        classes: Positive integer.
        join: Name of the join of branch and shortcut (`keras_wn.methods.JOINS`). None: the card's.
        dropout: Float in [0, 1), rate before the classifier.

    Returns:
        Functional Keras model from images to logits in float32. The join of block b of stage s is the layer
        `stage<s>_block<b>_join`; the block puts out `stage<s>_block<b>_out`.

    Raises:
        ValueError: For an unknown depth, method or join, and for numbers out of range.

    Example:

    >>> import keras_wn
    >>> model = keras_wn.models.ResNet50(method="bn", input_shape=(32, 32, 3), classes=10)
    >>> model.name, tuple(model.output.shape)
    ('resnet50_bn', (None, 10))

    Reference: He et al. 2016, arXiv 1512.03385. As there, the stride sits in the first convolution of a block. With
    `method="bn"` and 1000 classes, ResNet-50 has 25,610,152 parameters. `keras.applications.ResNet50` has 26,560 more: its
    convolutions have biases in front of batch normalization (one a filter). Further differences from it: batch
    normalization's epsilon is 1e-5 (there 1.001e-5) and momentum 0.9 (there 0.99); padding is "same" everywhere (there
    explicit and symmetric for the first convolution and the pooling); kernels start as the card says (there Glorot's); the
    output is logits (there softmax).
    """
    if depth not in _LAYOUTS:
        raise ValueError(f"Unknown ResNet depth {depth!r}. Allowed: {', '.join(map(str, _LAYOUTS))}.")
    card, join = checked(method, classes, join, dropout)
    blocks_by_stage, bottleneck = _LAYOUTS[depth]

    inputs = keras.Input(input_shape)
    x = card.convolution(inputs, 64, 7, 2, Place("stem"), "stem_conv")
    x = card.main_activation("stem_out")(x)
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    for stage, blocks in enumerate(blocks_by_stage, start=1):
        for block in range(1, blocks + 1):
            strides = 2 if block == 1 and stage > 1 else 1
            filters, name = 64 * 2 ** (stage - 1), f"stage{stage}_block{block}"
            x = residual_block(x, card, join, filters, strides, bottleneck, blocks, name)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, card.head(classes, "logits")(x), name=f"resnet{depth}_{card.name}")


def checked(method, classes, join, dropout):
    """The method's card and the name of the join.

    Raises:
        ValueError: For an argument that no network takes.
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout!r} is not allowed. Allowed: at least 0 and less than 1.")
    if not classes > 0:
        raise ValueError(f"classes={classes!r} is not allowed. Allowed: a positive integer.")
    card = methods.get(method)
    join = card.join if join is None else join
    if join not in methods.JOINS:
        raise ValueError(f"Unknown join {join!r}. Allowed: {', '.join(methods.JOINS)}.")
    return card, join


def residual_block(x, card, join, filters, strides, bottleneck, blocks, name):
    """A block, one of `blocks` of its stage: branch, shortcut, join `<name>_join`, main path's activation `<name>_out`.

    The branch has two 3x3 convolutions or, as a bottleneck, 1x1, 3x3 and 1x1.
    """
    # (filters, kernel size, strides) of the branch's convolutions.
    if bottleneck:
        branch_shapes = [(filters, 1, strides), (filters, 3, 1), (4 * filters, 1, 1)]
    else:
        branch_shapes = [(filters, 3, strides), (filters, 3, 1)]
    filters_out = branch_shapes[-1][0]
    join, branch_scale, shortcut_scale = methods.join_of(card, join, x, filters_out, f"{name}_join")
    if strides > 1 or x.shape[-1] != filters_out:
        place = Place("shortcut", blocks, shortcut_scale)
        shortcut = card.convolution(x, filters_out, 1, strides, place, f"{name}_shortcut")
    else:
        shortcut = x if shortcut_scale is None else shortcut_scale * x
    for i, shape in enumerate(branch_shapes, start=1):
        last = i == len(branch_shapes)
        place = Place("last", blocks, branch_scale) if last else Place("inner", blocks)
        x = card.convolution(x, *shape, place, f"{name}_conv{i}")
        if not last:
            x = card.activation(f"{name}_act{i}")(x)
    return card.main_activation(f"{name}_out")(join([x, shortcut]))


def ResNet18(method="wn", input_shape=(224, 224, 3), classes=1000, join=None, dropout=0.0):
    """ResNet-18; see `keras_wn.models.resnet`."""
    return resnet(18, method, input_shape, classes, join, dropout)


def ResNet34(method="wn", input_shape=(224, 224, 3), classes=1000, join=None, dropout=0.0):
    """ResNet-34; see `keras_wn.models.resnet`."""
    return resnet(34, method, input_shape, classes, join, dropout)


def ResNet50(method="wn", input_shape=(224, 224, 3), classes=1000, join=None, dropout=0.0):
    """ResNet-50; see `keras_wn.models.resnet`."""
    return resnet(50, method, input_shape, classes, join, dropout)


def ResNet101(method="wn", input_shape=(224, 224, 3), classes=1000, join=None, dropout=0.0):
    """ResNet-101; see `keras_wn.models.resnet`."""
    return resnet(101, method, input_shape, classes, join, dropout)


def ResNet152(method="wn", input_shape=(224, 224, 3), classes=1000, join=None, dropout=0.0):
    """ResNet-152; see `keras_wn.models.resnet`."""
    return resnet(152, method, input_shape, classes, join, dropout)
