"""Defines the method card, which holds everything that distinguishes one method of the study."""

import dataclasses
from collections.abc import Callable, Mapping

import keras

# The places of a convolution in a network: the first one of a residual network, on the main path;
# one inside a branch, or in a network without branches, directly before an activation; the last
# one of a branch, before the join; and the projection on a shortcut.
ROLES = ("stem", "inner", "last", "shortcut")


@dataclasses.dataclass(frozen=True)
class Place:
    """The place of a convolution in a network, which a model builder passes to a method card.

    Attributes:
        role: One of `stem`, the first convolution of a residual network; `inner`, directly before
            an activation; `last`, the last of a branch, before the join; and `shortcut`, the
            projection beside a branch.
        blocks: Positive integer, the number of residual blocks in the stage; 1 outside of stages.
        scale: Tensor with one number per filter that multiplies the kernel, or `None` for 1. It is
            given only to cards with `takes_scale`.

    Raises:
        ValueError: If a value is not allowed.

    Example:

    >>> Place("last", blocks=6)
    Place(role='last', blocks=6, scale=None)
    """

    role: str
    blocks: int = 1
    scale: keras.KerasTensor | None = None

    def __post_init__(self):
        if self.role not in ROLES:
            raise ValueError(
                f"Place: role={self.role!r} is not allowed. Allowed: {', '.join(ROLES)}."
            )
        if not self.blocks >= 1:
            raise ValueError(f"Place: blocks={self.blocks!r} is not allowed. Allowed: 1 or more.")


def _relu(name):
    return keras.layers.ReLU(name=name)


def _dense_head(classes, name):
    return keras.layers.Dense(classes, dtype="float32", name=name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodCard:
    """Everything that distinguishes one method of the study. `--norm` selects a card by its name.

    A card states only what differs from the defaults.

    Attributes:
        name: String, the value of `--norm`.
        title: String, the method in a few words, for tables and plots.
        convolution: Function `(x, filters, kernel_size, strides, place, name) -> tensor` that adds
            a convolution and its normalization, without the activation. `place` is a `Place`.
        takes_scale: Boolean, whether `convolution` multiplies its kernel by `place.scale`. This
            needs a branch that is linear in these kernels, and convolutions without a bias.
        activation: Function `(name) -> layer` for the activations inside of branches, and in
            networks without branches. The default is a ReLU.
        main_activation: Function `(name) -> layer` for the activations on the main path of a
            residual network, after the stem and after each join. The default is a ReLU.
        head: Function `(classes, name) -> layer` for the classifier, which returns logits. The
            default is a plain `Dense` layer.
        join: String, the default join of branch and shortcut, a key of `keras_wn.methods.JOINS`.
        unstable_joins: Dict from the name of a join that is known not to work to the reason, with
            its measurement.
        initialize: Function `(model, batch)` that is called once before training, with the global
            batch; or `None`.
        learning_rate: Float, for a batch of 256 images. It is scaled in proportion to the batch.
            The value was chosen for ResNet-50, by a few runs on the validation split of the
            embedded digits.
        warmup_epochs: Float, the length of the linear warm-up, of which a run uses at most half of
            its own length.
        weight_decay: Float, the L2 coefficient of the variables in `decayed`.
        decayed: Tuple of the names of the variables that weight decay applies to. Gains, biases and
            thresholds are never among them.
        decay_effect: String, the effect of weight decay on the function that the network computes.
        scale_of_v: String, the length of v at the start. With normalized weights, it sets the
            effective learning rate, which is about `learning_rate / ||v||^2`.
        batch_statistics: Boolean, whether training normalizes by statistics of the batch.
        ours: Tuple of strings, the choices that are this project's and not the paper's.
        references: Tuple of strings.
    """

    name: str
    title: str
    convolution: Callable
    takes_scale: bool = False
    activation: Callable = _relu
    main_activation: Callable = _relu
    head: Callable = _dense_head
    join: str = "sum"
    unstable_joins: Mapping[str, str] = dataclasses.field(default_factory=dict)
    initialize: Callable | None = None
    learning_rate: float
    warmup_epochs: float = 2
    weight_decay: float = 1e-4
    decayed: tuple[str, ...] = ("kernel",)
    decay_effect: str = (
        "on a convolution, changes the effective learning rate alone: no output depends on ||v||; "
        "shrinks the classifier"
    )
    scale_of_v: str
    batch_statistics: bool = False
    ours: tuple[str, ...]
    references: tuple[str, ...]
