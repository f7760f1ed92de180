"""Measures how activations and gradients travel through a residual network, block by block."""

import contextlib
import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_wn.layers import substitution
from keras_wn.training import files, text_table


@dataclasses.dataclass(frozen=True)
class BlockSignal:
    """Statistics of the output of one residual block's join, over a batch.

    Attributes:
        block: Name, for example `stage1_block1`.
        mean: Mean over all entries.
        variance: Variance over examples and positions, averaged over channels.
        gradient_norm: Euclidean norm of the loss's gradient with respect to it.
    """

    block: str
    mean: float
    variance: float
    gradient_norm: float


def measure(
    model: keras.Model, images: Any, labels: Any, loss: keras.losses.Loss
) -> tuple[list[BlockSignal], float]:
    """Signal statistics of each block in training mode; the model is left as it was.

    Args:
        model: Model from `keras_wn.models`.
        images: Array `(n, height, width, channels)`.
        labels: One-hot array `(n, classes)`.
        loss: Keras loss.

    Returns:
        List of `BlockSignal`, from the first block to the last, and the Euclidean norm of the
        gradient of all weights.
    """
    joins = [layer for layer in model.layers if layer.name.endswith("_join")]
    trainable, fixed = (
        [v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables)
    )

    def loss_and_outputs(tensors):
        """The loss, with zeros added to the outputs of the joins.

        The gradient with respect to the zeros is that with respect to the outputs.
        """
        added, trainable = tensors[: len(joins)], tensors[len(joins) :]
        with contextlib.ExitStack() as stack:
            seen = [
                stack.enter_context(_added_to(layer, term))
                for layer, term in zip(joins, added, strict=True)
            ]
            # Statistics that training mode updates come back as values, and are dropped.
            logits, _ = model.stateless_call(trainable, fixed, images, training=True)
        return loss(labels, logits), [outputs[0] for outputs in seen]

    batch = (len(images),)
    zeros = [ops.zeros(batch + layer.output.shape[1:], layer.compute_dtype) for layer in joins]
    weights = [ops.convert_to_tensor(value) for value in trainable]
    outputs, gradients = _outputs_and_gradients(loss_and_outputs, [*zeros, *weights])
    of_joins, of_weights = gradients[: len(joins)], gradients[len(joins) :]
    blocks = [
        _block_signal(layer.name, x, g)
        for layer, x, g in zip(joins, outputs, of_joins, strict=True)
    ]
    return blocks, float(
        np.sqrt(sum(_norm(gradient) ** 2 for gradient in of_weights if gradient is not None))
    )


@contextlib.contextmanager
def _added_to(layer, term):
    """Scope in which `term` is added to the outputs of a layer. Yields the list of its outputs."""
    call, outputs = layer.call, []

    def adding(*args, **kwargs):
        outputs.append(call(*args, **kwargs) + term)
        return outputs[-1]

    with substitution.replaced_call(layer, adding):
        yield outputs


def _block_signal(name, output, gradient):
    output = keras.ops.convert_to_numpy(keras.ops.cast(output, "float32")).astype("float64")
    return BlockSignal(
        block=name.removesuffix("_join"),
        mean=float(output.mean()),
        variance=float(output.var(axis=tuple(range(output.ndim - 1))).mean()),
        gradient_norm=_norm(gradient),
    )


def _norm(tensor):
    return float(
        np.linalg.norm(
            keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")).astype("float64")
        )
    )


def _outputs_and_gradients(function, tensors):
    """The outputs of a function that returns a loss and outputs, and the loss's gradients."""
    if keras.backend.backend() == "jax":
        import jax

        gradients, outputs = jax.jit(jax.grad(function, has_aux=True))(tensors)
        return outputs, gradients
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            loss, outputs = function(tensors)
        return outputs, tape.gradient(loss, tensors)
    raise NotImplementedError(
        f"Gradients on the {keras.backend.backend()} backend: not supported. Allowed: tensorflow, "
        "jax."
    )


def table(signals: list[BlockSignal]) -> str:
    """The statistics as text, with a line for each block."""
    rows = [
        (s.block, f"{s.mean:.3g}", f"{s.variance:.3g}", f"{s.gradient_norm:.3g}") for s in signals
    ]
    return text_table.aligned(["block", "mean", "variance", "gradient norm"], rows)


def write(signals: list[BlockSignal], title: str, json_path: Any, png_path: Any) -> None:
    """Writes the statistics as JSON and as a plot.

    Args:
        signals: List of `BlockSignal`.
        title: Text over the plot.
        json_path, png_path: Paths.
    """
    files.write_json(json_path, [dataclasses.asdict(s) for s in signals])
    with files.atomic_path(png_path) as temporary:
        _plot(signals, title, temporary)


def _plot(signals, title, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True)
    positions = np.arange(1, len(signals) + 1)
    rows = [
        ("mean", [s.mean for s in signals], False),
        ("variance", [s.variance for s in signals], True),
        ("gradient norm", [s.gradient_norm for s in signals], True),
    ]
    for axis, (label, values, logarithmic) in zip(axes, rows, strict=True):
        axis.plot(positions, values, marker="o", color="#0072B2")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        shown = [v for v in values if 0 < v < np.inf]
        # A classifier that starts at 0 has no gradients to show, and zeros have no logarithm.
        if logarithmic and shown:
            # Whole decades, so that a net that keeps its signal looks flat.
            axis.set_yscale("log")
            low, high = np.floor(np.log10(min(shown))), np.ceil(np.log10(max(shown)))
            axis.set_ylim(10**low, 10 ** max(high, low + 1))
    axes[0].set_title(title)
    axes[-1].set_xlabel("residual block, from the input")
    axes[-1].set_xticks(positions)
    figure.savefig(path, dpi=120)
