"""Builds residual networks from a method card: ResNet v1, or v2 for methods that ask for it."""

import dataclasses
from collections.abc import Sequence

import keras

from keras_wn import methods
from keras_wn.methods import MethodCard, Place

# For each depth, the number of blocks in each of the four stages, and whether the blocks are
# bottlenecks: He et al. 2016, arXiv 1512.03385, table 1.
_LAYOUTS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


def resnet(
    depth: int,
    method: str | MethodCard = "wn",
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    join: str | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a ResNet with the convolutions, activations, joins and classifier of a method.

    It is a ResNet v1. Cards with `preactivation` make it a v2, whose blocks begin with their
    activation; a projection reads the activated input of its block.

    Args:
        depth: 18, 34, 50, 101 or 152.
        method: Name of a method (`keras_wn.methods.names()`) or a `MethodCard`.
        input_shape: Tuple `(height, width, channels)`.
        classes: Positive integer, the number of classes.
        join: Name of the join of branch and shortcut, a key of `keras_wn.methods.JOINS`. `None`
            stands for the join of the method.
        dropout: Float in [0, 1), the dropout rate before the classifier.

    Returns:
        Functional Keras model from images to logits in float32. The layer that joins block b of
        stage s is called `stage<s>_block<b>_join`, and the last layer of the block
        `stage<s>_block<b>_out`.

    Raises:
        ValueError: If the depth, the method or the join is unknown, or if a number is out of range.

    Example:

    >>> import keras_wn
    >>> model = keras_wn.models.ResNet50(method="bn", input_shape=(32, 32, 3), classes=10)
    >>> model.name, tuple(model.output.shape)
    ('resnet50_bn', (None, 10))

    Reference: He et al. 2016, arXiv 1512.03385. As in the paper, the stride is in the first
    convolution of a block. With `method="bn"` and 1000 classes, ResNet-50 has 25,610,152
    parameters. `keras.applications.ResNet50` differs as follows:

    - It has 26,560 parameters more, because its convolutions have biases in front of batch
      normalization, one per filter.
    - The epsilon of its batch normalization is 1.001e-5 (here 1e-5), and the momentum 0.99 (here
      0.9).
    - The padding of its first convolution and of its pooling is explicit and symmetric (here
      "same").
    - Its kernels are initialized as Glorot's (here as the card says).
    - Its outputs are probabilities of a softmax (here logits).
    """
    if depth not in _LAYOUTS:
        allowed = ", ".join(map(str, _LAYOUTS))
        raise ValueError(f"Unknown ResNet depth {depth!r}. Allowed: {allowed}.")
    method = checked(method, classes, join, dropout)
    blocks_by_stage, bottleneck = _LAYOUTS[depth]
    stages = [(64 * 2**stage, blocks) for stage, blocks in enumerate(blocks_by_stage)]

    inputs = keras.Input(input_shape)
    x = method.add_convolution(inputs, 64, 7, 2, Place("stem"), "stem_conv")
    x = method.add_main_activation(x, "stem_out")
    x = keras.layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    x = residual_stages(x, method, stages, bottleneck)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    outputs = method.add_classifier(x, classes, "logits")
    return keras.Model(inputs, outputs, name=f"resnet{depth}_{method.name}")


def checked(method: str | MethodCard, classes: int, join: str | None, dropout: float) -> MethodCard:
    """Returns the card of the method, with the join.

    Raises:
        ValueError: If the method or the join is unknown, or if a number is out of range.
    """
    if not 0 <= dropout < 1:
        raise ValueError(
            f"dropout={dropout!r} is not allowed. Allowed: at least 0 and less than 1."
        )
    if not classes > 0:
        raise ValueError(f"classes={classes!r} is not allowed. Allowed: a positive integer.")
    method = methods.get(method)
    if join is None:
        return method
    if join not in methods.JOINS:
        raise ValueError(f"Unknown join {join!r}. Allowed: {', '.join(methods.JOINS)}.")
    return dataclasses.replace(method, join=join)


def residual_stages(
    x: keras.KerasTensor,
    method: MethodCard,
    stages: Sequence[tuple[int, int]],
    bottleneck: bool,
) -> keras.KerasTensor:
    """Adds the stages of a residual network.

    The layers of block b of stage s are named `stage<s>_block<b>_...`.

    Args:
        x: Tensor, the output of the stem.
        method: `MethodCard`.
        stages: For each stage, the number of filters and the number of blocks. The first block of
            each stage but the first halves height and width.
        bottleneck: Boolean, whether the branches have 1x1, 3x3 and 1x1 convolutions instead of two
            3x3 convolutions. A bottleneck returns four times as many channels as it has filters.

    Returns:
        Tensor, the output of the last block, after an activation.
    """
    network_blocks, sums, done = sum(blocks for _, blocks in stages), 0, 0
    for stage, (filters, blocks) in enumerate(stages, start=1):
        for block in range(1, blocks + 1):
            name, strides = f"stage{stage}_block{block}", 2 if block == 1 and stage > 1 else 1
            # The (filters, kernel size, strides) of the convolutions of the branch.
            if bottleneck:
                branch = [(filters, 1, strides), (filters, 3, 1), (4 * filters, 1, 1)]
            else:
                branch = [(filters, 3, strides), (filters, 3, 1)]
            place = Place("inner", blocks, network_blocks, len(branch), sums, done)
            is_projected = strides > 1 or x.shape[-1] != branch[-1][0]
            x = residual_block(x, method, branch, is_projected, place, name)
            sums, done = 1 if is_projected else sums + 1, done + 1
    return method.add_activation(x, "last_act") if method.preactivation else x


def residual_block(
    x: keras.KerasTensor,
    method: MethodCard,
    branch: Sequence[tuple[int, int, int]],
    is_projected: bool,
    place: Place,
    name: str,
) -> keras.KerasTensor:
    """Adds a residual block.

    The block ends with the join `<name>_join` and the activation `<name>_out`.

    Args:
        x: Tensor, the input of the block.
        method: `MethodCard`.
        branch: For each convolution of the branch, its filters, its kernel size and its strides.
        is_projected: Boolean, whether the shortcut is a 1x1 convolution with the first strides of
            the branch. Otherwise it is `x`.
        place: `Place` of a convolution that reads `x`. That of the others follows from it.
        name: Prefix of the names of the layers.

    Returns:
        Tensor, the output of the block.
    """
    filters = branch[-1][0]
    join, branch_scale, shortcut_scale = methods.join_of(method, x, filters, place, f"{name}_join")
    shortcut = x
    if method.preactivation:
        x = method.add_activation(x, f"{name}_act0")
    if is_projected:
        shortcut_place = dataclasses.replace(place, role="shortcut", scale=shortcut_scale)
        strides = branch[0][2]
        shortcut = method.add_convolution(
            x, filters, 1, strides, shortcut_place, f"{name}_shortcut"
        )
    elif shortcut_scale is not None:
        shortcut = shortcut_scale * shortcut
    for i, shape in enumerate(branch, start=1):
        if i > 1:
            x = method.add_activation(x, f"{name}_act{i - 1}", place)
            place = dataclasses.replace(place, sums=0)
        if i == len(branch):
            place = dataclasses.replace(place, role="last", scale=branch_scale)
        x = method.add_convolution(x, *shape, place, f"{name}_conv{i}")
    return method.add_main_activation(join([x, shortcut]), f"{name}_out")


def ResNet18(
    method: str | MethodCard = "wn",
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    join: str | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a ResNet-18. The arguments are those of `keras_wn.models.resnet`."""
    return resnet(18, method, input_shape, classes, join, dropout)


def ResNet34(
    method: str | MethodCard = "wn",
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    join: str | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a ResNet-34. The arguments are those of `keras_wn.models.resnet`."""
    return resnet(34, method, input_shape, classes, join, dropout)


def ResNet50(
    method: str | MethodCard = "wn",
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    join: str | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a ResNet-50. The arguments are those of `keras_wn.models.resnet`."""
    return resnet(50, method, input_shape, classes, join, dropout)


def ResNet101(
    method: str | MethodCard = "wn",
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    join: str | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a ResNet-101. The arguments are those of `keras_wn.models.resnet`."""
    return resnet(101, method, input_shape, classes, join, dropout)


def ResNet152(
    method: str | MethodCard = "wn",
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    join: str | None = None,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a ResNet-152. The arguments are those of `keras_wn.models.resnet`."""
    return resnet(152, method, input_shape, classes, join, dropout)
