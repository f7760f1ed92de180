"""Defines the method card, which holds everything that distinguishes one method of the study."""

import dataclasses
from collections.abc import Callable, Mapping

import keras

from keras_wn.layers import BatchStatisticsNoise

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
            projection on a shortcut.
        blocks: Positive integer, the number of residual blocks in the stage; 1 outside of stages.
        network_blocks: Positive integer, the number of residual blocks in the network.
        branch_convolutions: Positive integer, the number of convolutions in a branch.
        sums: Non-negative integer. For a convolution that reads the main path, it is the number of
            branches that were added to the path since its last projection; 0 elsewhere.
        scale: Tensor with one number per filter that multiplies the kernel, or `None` for 1. It is
            given only to cards with `takes_scale`.
        method: The card that adds the convolution, with the options that the user chose.
            `MethodCard.add_convolution` fills it in.

    Raises:
        ValueError: If a value is not allowed.

    Example:

    >>> Place("last", blocks=6).network_blocks
    1
    """

    role: str
    blocks: int = 1
    network_blocks: int = 1
    branch_convolutions: int = 2
    sums: int = 0
    scale: keras.KerasTensor | None = None
    method: "MethodCard | None" = None

    def __post_init__(self):
        if self.role not in ROLES:
            raise ValueError(
                f"Place: role={self.role!r} is not allowed. Allowed: {', '.join(ROLES)}."
            )
        least = {"blocks": 1, "network_blocks": 1, "branch_convolutions": 1, "sums": 0}
        for name, bound in least.items():
            if not getattr(self, name) >= bound:
                raise ValueError(
                    f"Place: {name}={getattr(self, name)!r} is not allowed. "
                    f"Allowed: {bound} or more."
                )

    @property
    def start(self) -> float:
        """The scale at the start: the card's `branch_scale` at the end of a branch, 1 elsewhere."""
        return self.method.branch_scale if self.role == "last" else 1.0


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
            a convolution and its normalization. The activation follows, unless `activation` makes
            an identity because this function adds it. `place` is a `Place`. Networks call
            `add_convolution`, which calls this function.
        takes_scale: Boolean, whether `convolution` multiplies its kernel by `place.scale`. This
            needs a branch that is linear in these kernels, and convolutions without a bias.
        activation: Function `(name) -> layer` for the activations inside of branches, and in
            networks without branches. The default is a ReLU.
        main_activation: Function `(name) -> layer` for the activations on the main path of a
            residual network, after the stem and after each join. The default is a ReLU.
        head: Function `(classes, name) -> layer` for the classifier, which returns logits. The
            default is a plain `Dense` layer.
        preactivation: Boolean, whether residual blocks begin with their activation, so that nothing
            follows the join (ResNet v2). `main_activation` is then usually the identity.
        join: String, the default join of branch and shortcut, a key of `keras_wn.methods.JOINS`.
        unstable_joins: Dict from the name of a join that is known not to work to the reason, with
            its measurement.
        branch_scale: Float, the scale of a branch's last convolution at the start; or `None` if the
            method leaves no choice.
        unstable_branch_scales: Dict from a `branch_scale` that is known not to work to the reason,
            with its measurement. Larger scales do not work either.
        groups: Positive integer, the number of groups of channels that are normalized together; or
            `None` for methods without groups.
        statistics_batch: Integer of at least 2, the number of images whose statistics normalize
            them together, of which a batch may hold several parts; 0 for the whole batch; or `None`
            for methods without a choice.
        noise: Integer of at least 2, the size of the batch whose noise is added after every
            convolution in training, by `keras_wn.layers.BatchStatisticsNoise`; or 0 for none.
        initialize: Function `(model, batch)` that is called once before training, with the global
            batch; or `None`.
        learning_rate: Float, for a batch of 256 images. It is scaled in proportion to the batch.
            The value was chosen for ResNet-50, by a few runs on the validation split of the
            embedded digits.
        learning_rate_range: Pair of floats, the lowest and the highest learning rate for a batch
            of 256 images that are worth a trial with small networks. A pilot found them with
            ResNet-8 (BUILD.md, Reproducing). Deeper networks take lower ones.
        warmup_epochs: Float, the length of the warm-up, of which a run uses at most half of its own
            length.
        warmup_power: Float, the power of the number of steps that the learning rate rises with.
        weight_decay: Float, the L2 coefficient of the variables that `decay_on` names.
        decay_on: String, a key of `keras_wn.training.optimizer.DECAY_ON`. Biases and thresholds are
            never decayed.
        agc: Float, the factor of adaptive gradient clipping, or 0 for none.
        agc_conflict: String, the reason why adaptive gradient clipping does not go with the method,
            or empty.
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
    preactivation: bool = False
    join: str = "sum"
    unstable_joins: Mapping[str, str] = dataclasses.field(default_factory=dict)
    branch_scale: float | None = None
    unstable_branch_scales: Mapping[float, str] = dataclasses.field(default_factory=dict)
    groups: int | None = None
    statistics_batch: int | None = None
    noise: int = 0
    initialize: Callable | None = None
    learning_rate: float
    learning_rate_range: tuple[float, float]
    warmup_epochs: float = 2
    warmup_power: float = 1.0
    weight_decay: float = 1e-4
    decay_on: str = "v"
    agc: float = 0.0
    agc_conflict: str = ""
    scale_of_v: str
    batch_statistics: bool = False
    ours: tuple[str, ...]
    references: tuple[str, ...]

    def add_convolution(
        self,
        x: keras.KerasTensor,
        filters: int,
        kernel_size: int,
        strides: int,
        place: Place,
        name: str,
    ) -> keras.KerasTensor:
        """Adds a convolution, its normalization, and the noise that the card asks for.

        Args:
            x: Tensor of shape `(batch_size, height, width, channels)`.
            filters: Positive integer, the number of filters.
            kernel_size: Positive integer, the height and the width of the kernel.
            strides: Positive integer.
            place: `Place` of the convolution.
            name: Name of the layer, and prefix of the names of those after it.

        Returns:
            Tensor of shape `(batch_size, height / strides, width / strides, filters)`.
        """
        place = dataclasses.replace(place, method=self)
        x = self.convolution(x, filters, kernel_size, strides, place, name)
        return BatchStatisticsNoise(self.noise, name=f"{name}_noise")(x) if self.noise else x
