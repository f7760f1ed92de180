"""What a method card holds."""

import dataclasses
from collections.abc import Callable, Mapping


@dataclasses.dataclass(frozen=True)
class MethodCard:
    """Everything that distinguishes one method of the study; `--norm` selects it by name.

    Attributes:
        name: What `--norm` takes.
        title: The method in a few words, for tables and plots.
        convolution: Function `(x, filters, kernel_size, strides, place, name) -> tensor`: a convolution with its
            normalization, before the activation. `place` is a `Place`.
        takes_scale: Whether `convolution` multiplies its kernels by `place.scale`: where the branch is linear in them, without bias.
        activation: Function `(name) -> layer`: inside of branches, and in nets without them.
        main_activation: Function `(name) -> layer`: on the main path of a residual net, behind the stem and behind each join.
        head: Function `(classes, name) -> layer`: the classifier; it puts out logits.
        join: Name of the default join of residual branch and shortcut, in `keras_wn.methods.JOINS`.
        unstable_joins: Dict from the name of a join that is known not to work to the reason, with its measurement.
        initialize: Function `(model, batch)`, run once before training on the global batch; or None.
        learning_rate: Float, for a batch of 256; scaled in proportion to the batch. Chosen by a few runs on the embedded
            digits' validation split, for ResNet-50.
        warmup_epochs: Float, length of the linear warm-up; at most half of a run is taken.
        weight_decay: Float, L2 coefficient of the variables in `decayed`.
        decayed: Tuple of variable names that decay applies to. Gains, biases and thresholds are never in it.
        decay_effect: Text, what decay does to the function that the net computes.
        scale_of_v: Text, the length of v at the start. With normalized weights it sets the effective learning rate, about
            `learning_rate / ||v||^2`.
        batch_statistics: Whether training normalizes by statistics of the batch.
        ours: Tuple of texts: what is this project's choice and not the paper's.
        references: Tuple of texts.
    """

    name: str
    title: str
    convolution: Callable
    takes_scale: bool
    activation: Callable
    main_activation: Callable
    head: Callable
    join: str
    unstable_joins: Mapping[str, str]
    initialize: Callable | None
    learning_rate: float
    warmup_epochs: float
    weight_decay: float
    decayed: tuple[str, ...]
    decay_effect: str
    scale_of_v: str
    batch_statistics: bool
    ours: tuple[str, ...]
    references: tuple[str, ...]
