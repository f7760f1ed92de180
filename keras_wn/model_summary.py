"""Shows the norms, gains and effective learning rates of a model's weight-normalized layers."""

import collections
import dataclasses
import itertools
import math
from collections.abc import Callable

import keras
import numpy as np
from keras import ops
from rich.console import Console
from rich.table import Table

from keras_wn.interop.fold import plain_class
from keras_wn.layers.gains import Gain, direction_norm
from keras_wn.layers.kernels import Kernel, kernels_of
from keras_wn.layers.selection import is_normalized_layer, units

# A narrower terminal breaks the lines itself, and no cell is cut.
_LEAST_WIDTH = 80
_LEAST_WIDTH_OF_PATH = 20
# Wide enough for the paths of nested layers where no terminal gives a width.
_WIDTH_WITHOUT_TERMINAL = 120


@dataclasses.dataclass(frozen=True)
class KernelFigures:
    """A kernel of a model, and the figures of its weight normalization.

    Attributes:
        path: The path of the kernel's variable, without the name of the model. Where several have
            the same, the names of all layers around the kernel come before it, and a number comes
            after it if these are the same as well.
        layer: Keras layer that the kernel belongs to.
        kernel: Its `Kernel`.
        gain: Its `Gain`; `None` in the strict form and in a plain layer.
    """

    path: str
    layer: keras.layers.Layer
    kernel: Kernel
    gain: Gain | None

    @property
    def is_normalized(self) -> bool:
        """Whether the kernel is weight-normalized."""
        return is_normalized_layer(self.layer)

    def norms(self) -> np.ndarray:
        """Returns `||v||` of each output unit, float64."""
        return ops.convert_to_numpy(direction_norm(self.kernel)).astype("float64").ravel()

    def gains(self) -> np.ndarray | None:
        """Returns g of each output unit, float64; `None` without a gain."""
        if self.gain is None:
            return None
        return ops.convert_to_numpy(self.gain.value).astype("float64").ravel()

    def effective_rate(self, rate: float) -> float:
        """Returns a learning rate divided by the mean square of `||v||`.

        Where the length of v has no effect, it is the step of v's direction. It is infinite for a
        kernel of zeros, which has no direction.
        """
        square = float(np.mean(self.norms() ** 2))
        return rate / square if square else math.inf

    def scalars(self, rate: float) -> dict[str, float]:
        """Returns the figures of the kernel that are written for TensorBoard, by name.

        `norm/<path>` is `||v||` averaged over the units, and `effective_learning_rate/<path>` the
        effective rate.
        """
        return {
            f"norm/{self.path}": float(np.mean(self.norms())),
            f"effective_learning_rate/{self.path}": self.effective_rate(rate),
        }


def kernel_figures(model: keras.layers.Layer) -> list[KernelFigures]:
    """Lists the kernels of a built model or layer, normalized and plain, in their order.

    Each has a path of its own, and a kernel that is used in several places is listed once.
    """
    found = {}
    for place, layer in _units_with_places(model, ()):
        pairs = (
            layer.kernels_and_gains()
            if is_normalized_layer(layer)
            else [(kernel, None) for kernel in kernels_of(layer)]
        )
        for kernel, gain in pairs:
            path = kernel.variable.path.removeprefix(f"{model.name}/")
            figures = KernelFigures(path, layer, kernel, gain)
            found.setdefault(id(kernel.variable), (figures, "/".join((*place, path))))
    # Paths are the names that layers had when they were built, which several can have.
    counts = collections.Counter(figures.path for figures, _ in found.values())
    paths = [
        figures.path if counts[figures.path] == 1 else longer for figures, longer in found.values()
    ]
    counts, numbers = collections.Counter(paths), collections.defaultdict(itertools.count)
    paths = [path if counts[path] == 1 else f"{path}_{next(numbers[path])}" for path in paths]
    return [
        dataclasses.replace(figures, path=path)
        for (figures, _), path in zip(found.values(), paths, strict=True)
    ]


def kernel_norms(model: keras.layers.Layer, rate: float) -> dict[str, float]:
    """Returns the `KernelFigures.scalars` of all kernels of a built model, normalized and plain."""
    values = {}
    for figures in kernel_figures(model):
        values |= figures.scalars(rate)
    return values


def _units_with_places(layer, place):
    """Pairs of the names of the layers around a unit, without the model's, and the unit."""
    if units(layer) == [layer]:
        return [(place[:-1], layer)]
    parts = layer._layers
    return [pair for part in parts for pair in _units_with_places(part, (*place, part.name))]


def current_rate(model: keras.Model) -> float | None:
    """Returns the learning rate of a compiled model at its present step; `None` if not compiled."""
    optimizer = getattr(model, "optimizer", None)
    return None if optimizer is None else float(ops.convert_to_numpy(optimizer.learning_rate))


def summary(
    model: keras.layers.Layer,
    learning_rate: float | None = None,
    print_fn: Callable[[str], None] | None = None,
) -> None:
    """Prints a table of the weight-normalized kernels of a model.

    A row has the path of a kernel, the number of its output units, the median and the range over
    the units of `||v||` and of the gain g, the effective learning rate `lr / mean(||v||^2)`, and
    the class of the plain layer that `keras_wn.fold` makes of the layer. With SGD, a step turns the
    direction of v by the effective learning rate times the gradient with respect to `v / ||v||`, so
    that a length that grows slows the layer down. Adam's steps do not grow with the gradient, and
    turn it in proportion to `lr / ||v||`.

    Args:
        model: Built Keras model or layer.
        learning_rate: Float, the rate of the optimizer. None: that of the optimizer that the model
            is compiled with, at its present step; without one, the column is left out.
        print_fn: Function that takes the table as one string. None: the table is printed in the
            width of the terminal.

    Raises:
        ValueError: If the model is not built, or `learning_rate` is not a positive number.

    Example:

    >>> import keras, keras_wn
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras_wn.layers.WNDense(3, kernel_initializer="ones", name="fc")]
    ... )
    >>> keras_wn.summary(model, learning_rate=0.1, print_fn=print)
    Kernel     Units  ‖v‖  g  lr/‖v‖²  Folds to
    fc/kernel      3    2  2    0.025  Dense
    <BLANKLINE>
    1 of 1 kernels is weight-normalized.

    Reference: van Laarhoven 2017, arXiv 1706.05350, for the effective learning rate.
    """
    if not model.built:
        raise ValueError(
            f"summary: model '{model.name}' is not built. "
            "Call it on a batch, or give it an Input, first."
        )
    if learning_rate is None:
        learning_rate = current_rate(model)
    elif not (np.isfinite(learning_rate) and learning_rate > 0):
        raise ValueError(
            f"summary: learning_rate={learning_rate!r} is not allowed. Allowed: a positive number."
        )
    kernels = kernel_figures(model)
    normalized = [figures for figures in kernels if figures.is_normalized]
    verb = "is" if len(normalized) == 1 else "are"
    total = f"\n{len(normalized)} of {len(kernels)} kernels {verb} weight-normalized."
    width = _WIDTH_WITHOUT_TERMINAL if print_fn else max(_LEAST_WIDTH, Console().width)
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        if normalized:
            console.print(_table(normalized, learning_rate))
        console.print(total)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    (print_fn or print)("\n".join(lines if normalized else lines[1:]))


def _table(normalized, learning_rate):
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("Kernel", overflow="fold", min_width=_LEAST_WIDTH_OF_PATH)
    table.add_column("Units", justify="right", no_wrap=True)
    table.add_column("‖v‖", justify="right")
    table.add_column("g", justify="right")
    if learning_rate is not None:
        table.add_column("lr/‖v‖²", justify="right", no_wrap=True)
    table.add_column("Folds to", no_wrap=True)
    for figures in normalized:
        gains = figures.gains()
        row = [
            figures.path,
            str(figures.norms().size),
            _median_and_range(figures.norms()),
            "1, fixed" if gains is None else _median_and_range(gains),
        ]
        if learning_rate is not None:
            row.append(f"{figures.effective_rate(learning_rate):.3g}")
        plain = plain_class(figures.layer)
        table.add_row(*row, "no plain layer" if plain is None else plain.__name__)
    return table


def _median_and_range(values):
    """A text with the median of some numbers, and their range if it is not a single number."""
    least, median, largest = np.quantile(values, [0, 0.5, 1])
    if f"{least:.2g}" == f"{largest:.2g}":
        return f"{median:.3g}"
    return f"{median:.2g} ({least:.2g} to {largest:.2g})"
