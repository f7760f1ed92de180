"""Defines the method card, which says what a method of the study is made of."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_wn.layers import BatchStatisticsNoise
from keras_wn.methods import ingredients
from keras_wn.methods.ingredients import CompositionError
from keras_wn.methods.joins import JOINS

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
        block: Non-negative integer, the number of residual blocks before this one.
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
    block: int = 0
    scale: keras.KerasTensor | None = None
    method: "MethodCard | None" = None

    def __post_init__(self):
        if self.role not in ROLES:
            raise ValueError(
                f"Place: role={self.role!r} is not allowed. Allowed: {', '.join(ROLES)}."
            )
        least = {"blocks": 1, "network_blocks": 1, "branch_convolutions": 1, "sums": 0, "block": 0}
        for name, bound in least.items():
            if not getattr(self, name) >= bound:
                raise ValueError(
                    f"Place: {name}={getattr(self, name)!r} is not allowed. "
                    f"Allowed: {bound} or more."
                )

    @property
    def start(self) -> float:
        """The scale at the start: the card's `branch_scale` at the end of a branch, 1 elsewhere."""
        scale = self.method.branch_scale if self.role == "last" else None
        return 1.0 if scale is None else scale


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodCard:
    """What one method of the study is made of. `--norm` selects a card by its name.

    A card is a composition of ingredients, each of which a field names; `methods.ingredients` says
    what each name adds to a network. A card states only what differs from the defaults.

    Attributes:
        name: String, the value of `--norm`.
        title: String, the method in a few words, for tables and plots.
        weights: String, how the weights of a convolution come from its kernel v: `plain`, v
            itself; `wn`, `g v / ||v||` with a trained gain per filter; `fixed`, the same with a
            gain that keeps its start; `strict`, `v / ||v||`; or `projected`, v, whose filters are
            rescaled to the norm of their start after each step.
        center: String, whether the entries of each filter sum to 0: `no`; `always`, the formula of
            the weights subtracts the mean of v; or `free`, v starts with mean 0, and the optimizer
            subtracts the mean of its gradients (`keras_wn.optimizers.CenteredGradients`). For SGD
            with momentum and decay, the last two are the same function after each step, and the
            last costs less.
        unit_v: Boolean, whether v is rescaled to norm 1 after each step. The weights do not depend
            on its norm, but the effective learning rate does.
        weight_options: Dict of further arguments of the layer of a convolution: of `WNConv2D`, or
            of `keras.layers.Conv2D` with `plain` and `projected` weights.
        kernel_start: String, the initializer of kernels: a key of `ingredients.KERNEL_STARTS`, or
            the name of an initializer of Keras.
        gain_start: String, the rule for the gains at the start, a key of `ingredients.GAIN_STARTS`.
        biases: String, what a convolution adds: a number per `filter`, `none`, or `scalar`, a
            number for all filters before and after each convolution.
        normalization: String, what normalizes the output of a convolution: `none`, `batch`,
            `group`, or `mean`, which subtracts the mean of the batch.
        activation: String, the activation: `relu`; `scaled`, a ReLU of variance 1 for Gaussian
            input; `normalized`, a ReLU of mean 0 and variance 1; `translated`, with a trained
            threshold; `leaky`, with slope 0.2 and mean square 1; `identity`; or the name of an
            activation of Keras.
        main_activation: String, the same on the main path of a residual network, after the stem and
            after each join. `None` stands for that of `activation`.
        preactivation: Boolean, whether residual blocks begin with their activation, so that nothing
            follows the join (ResNet v2). `main_activation` is then usually `identity`.
        join: String, the join of branch and shortcut, a key of `keras_wn.methods.JOINS`.
        branch_share: Float in (0, 1), the share t of the branch in a spherical join.
        branch_scale: Float, the scale of a branch's last convolution at the start, which its gain,
            its gamma or the scalar at its end begins with; or `None` if the method leaves no
            choice.
        branch_scalar: Boolean, whether a trained scalar ends each branch.
        branch_factor: Float, a constant factor of that scalar. With `gain_start="keeping"`, a
            factor of the gain, if there is no scalar.
        classifier: String, what returns logits: `plain`, a dense layer; `zeros`, one that starts at
            0; `wn`, one with weight normalization; or `cosine`, a trained scale times the cosine of
            features and weights.
        initialize: Start from data, which is called as `initialize(model, batch)` once before
            training with the global batch: `"gains"`, which sets gains and biases; `"biases"`,
            which sets biases alone; a function; or `None`.
        convolution: Function `(x, filters, kernel_size, strides, place, name) -> tensor` that adds
            a convolution and its normalization in place of the ingredients above, for what these
            do not express. `place` is a `Place`. `None` for the ingredients.
        scales_kernels: Boolean, whether trained scales at the end of a branch multiply the kernel
            in front of them, where the ingredients allow it, and not its outputs.
        unstable_joins: Dict from the name of a join that is known not to work to the reason, with
            its measurement.
        unstable_branch_scales: Dict from a `branch_scale` that is known not to work to the reason,
            with its measurement. Larger scales do not work either.
        groups: Positive integer, the number of groups of channels that are normalized together; or
            `None` for methods without groups.
        statistics_batch: Integer of at least 2, the number of images whose statistics normalize
            them together, of which a batch may hold several parts; 0 for the whole batch; or `None`
            for methods without a choice.
        noise: Integer of at least 2, the size of the batch whose noise is added after every
            convolution in training, by `keras_wn.layers.BatchStatisticsNoise`; or 0 for none.
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
        agc_on: String, what is clipped so: `all`, or the `kernels` alone, which spares gains,
            biases and thresholds that start at 0.
        scale_of_v: String, the length of v at the start. With normalized weights, it sets the
            effective learning rate, which is about `learning_rate / ||v||^2`.
        batch_statistics: Boolean, whether training normalizes by statistics of the batch.
        ours: Tuple of strings, the choices that are this project's and not the paper's.
        references: Tuple of strings.

    Raises:
        ValueError: If a name is unknown, or if no formula allows the ingredients together.

    Example:

    >>> import dataclasses, keras_wn
    >>> wn = keras_wn.methods.get("wn")
    >>> centered = dataclasses.replace(wn, name="mine", center="always", join="rsqrt2")
    >>> keras_wn.models.cifar_resnet(8, method=centered).name
    'cifar_resnet8_mine'
    """

    name: str
    title: str
    weights: str = "plain"
    center: str = "no"
    unit_v: bool = False
    weight_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    kernel_start: str = "he"
    gain_start: str = "branch_scale"
    biases: str = "filter"
    normalization: str = "none"
    activation: str = "relu"
    main_activation: str | None = None
    preactivation: bool = False
    join: str = "sum"
    branch_share: float = 0.3
    branch_scale: float | None = None
    branch_scalar: bool = False
    branch_factor: float = 1.0
    classifier: str = "plain"
    initialize: str | Callable | None = None
    convolution: Callable | None = None
    scales_kernels: bool = True
    unstable_joins: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unstable_branch_scales: Mapping[float, str] = dataclasses.field(default_factory=dict)
    groups: int | None = None
    statistics_batch: int | None = None
    noise: int = 0
    learning_rate: float
    learning_rate_range: tuple[float, float]
    warmup_epochs: float = 2
    warmup_power: float = 1.0
    weight_decay: float = 1e-4
    decay_on: str = "v"
    agc: float = 0.0
    agc_on: str = "all"
    scale_of_v: str
    batch_statistics: bool = False
    ours: tuple[str, ...]
    references: tuple[str, ...]

    def __post_init__(self):
        for field, allowed in _CHOICES.items():
            if getattr(self, field) not in allowed:
                raise CompositionError(self, field, "unknown", ", ".join(allowed))
        for field in ("activation", "main_activation"):
            if getattr(self, field) is not None:
                self._check_activation(field)
        if isinstance(self.initialize, str):
            if self.initialize not in ingredients.DATA_STARTS:
                allowed = ", ".join(ingredients.DATA_STARTS)
                raise CompositionError(self, "initialize", "unknown", allowed)
            object.__setattr__(self, "initialize", ingredients.DATA_STARTS[self.initialize])
        for field, allowed in _RANGES.items():
            if not allowed[0](getattr(self, field)):
                raise CompositionError(self, field, "not allowed", allowed[1])
        if self.convolution is None:
            self._check_together()
        if self.agc and self.agc_conflict:
            raise CompositionError(self, "agc", self.agc_conflict, "0")

    def _check_activation(self, field):
        try:
            ingredients.activation_of(getattr(self, field))
        except ValueError:
            allowed = f"{', '.join(ingredients.ACTIVATIONS)}, and Keras' activations"
            raise CompositionError(self, field, "unknown", allowed) from None

    def _check_together(self):
        weights = ingredients.WEIGHTS[self.weights]
        sets_gains = getattr(self.initialize, "name", "") == "gains"
        if self.center == "always" and not weights.is_normalized:
            reason = f"the formula of {self.weights} weights has no mean to subtract"
            raise CompositionError(self, "center", reason, "no, free")
        if sets_gains and weights.gain == "none":
            reason = "the start from data has no gain to set"
            raise CompositionError(self, "weights", reason, "wn, fixed")
        if self.weights == "projected" and (sets_gains or self.normalization != "none"):
            what = "the start from data sets" if sets_gains else "the normalization has"
            reason = f"{what} a gain per filter, which undoes that filters keep their norm"
            raise CompositionError(self, "weights", reason, "plain, wn, fixed, strict")
        if self.unit_v and weights.gain != "trained":
            reason = f"{self.weights} weights have no trained gain"
            raise CompositionError(self, "unit_v", reason, "False")
        is_held = ingredients.held(self) == "gain"
        if self.branch_scale == 0 and is_held and weights.gain == "fixed":
            reason = f"with {self.weights} weights, whose norms are constant, branches stay 0"
            raise CompositionError(self, "branch_scale", reason, "a number above 0")
        if self.gain_start == "keeping" and math.isnan(ingredients.deviation_after(self)):
            reason = f"the deviation after {self.activation} is not known"
            raise CompositionError(self, "activation", reason, ", ".join(ingredients.ACTIVATIONS))

    @property
    def agc_conflict(self) -> str:
        """Why adaptive gradient clipping does not go with the method, or an empty string.

        A gradient is bounded in proportion to the norm of its unit, so that a unit that starts at 0
        stays near 0.
        """
        zero = "" if self.convolution else ingredients.starts_at_zero(self, self.agc_on)
        return zero and f"{zero}, so that there is no norm to clip in proportion to"

    @property
    def takes_scale(self) -> bool:
        """Whether a convolution multiplies its kernel by `place.scale`.

        This needs a branch that is linear in these kernels, and convolutions without a bias.
        """
        is_linear = self.biases == "none" and self.normalization == "none"
        return self.scales_kernels and is_linear and ingredients.WEIGHTS[self.weights].is_normalized

    @property
    def scalar_is_in_kernel(self) -> bool:
        """Whether the scalar at the end of a branch multiplies the kernel of its last convolution.

        This costs no pass over the outputs. It needs a convolution without a gain of its own and
        without a bias.
        """
        return self.branch_scalar and self.weights == "strict" and self.takes_scale

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
        add = self.convolution or ingredients.add_convolution
        x = add(x, filters, kernel_size, strides, place, name)
        return BatchStatisticsNoise(self.noise, name=f"{name}_noise")(x) if self.noise else x

    def activation_is_in(self, place: Place) -> bool:
        """Whether the convolution at a place computes the activation that follows it."""
        return self.unit_v and self.activation == "normalized" and place.role == "inner"

    def add_activation(
        self, x: keras.KerasTensor, name: str, place: Place | None = None
    ) -> keras.KerasTensor:
        """Adds the activation inside of a branch, or in a network without branches.

        Args:
            x: Tensor.
            name: Name of the layer.
            place: `Place` of the convolution whose output `x` is, or `None` after a join.

        Returns:
            Tensor of the shape of `x`.
        """
        is_done = place is not None and self.activation_is_in(place)
        return ingredients.activation_of("identity" if is_done else self.activation).make(name)(x)

    def add_main_activation(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Adds the activation on the main path, after the stem or after a join.

        Args:
            x: Tensor.
            name: Name of the layer.

        Returns:
            Tensor of the shape of `x`.
        """
        return ingredients.activation_of(self.main_activation or self.activation).make(name)(x)

    def add_classifier(self, x: keras.KerasTensor, classes: int, name: str) -> keras.KerasTensor:
        """Adds the classifier.

        Args:
            x: Tensor of shape `(batch_size, features)`.
            classes: Positive integer.
            name: Name of the last layer.

        Returns:
            Tensor of shape `(batch_size, classes)`, logits in float32.
        """
        return ingredients.add_classifier(self, x, classes, name)


_CHOICES = {
    "weights": ingredients.WEIGHTS,
    "center": ingredients.CENTER,
    "gain_start": ingredients.GAIN_STARTS,
    "biases": ingredients.BIASES,
    "normalization": ingredients.NORMALIZATIONS,
    "join": JOINS,
    "classifier": ingredients.CLASSIFIERS,
    "agc_on": ("all", "kernels"),
}
_RANGES = {
    "branch_share": (lambda x: 0 < x < 1, "a number between 0 and 1"),
    "branch_factor": (lambda x: x > 0, "a number above 0"),
    "branch_scale": (lambda x: x is None or x >= 0, "0 or more"),
    "agc": (lambda x: x >= 0, "0 or more"),
}
