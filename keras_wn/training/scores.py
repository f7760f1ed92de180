"""Scores the outputs of a network: how many images are classified correctly."""

from typing import Any

from keras import ops


def weights_of_rows(labels: Any) -> Any:
    """The weight of each row of a batch in its loss and metrics, 1 or 0.

    A row whose labels are zeros holds an image that serves for the statistics alone, or that
    fills a batch up. Without a weight of 0, it would take part in the gradient: TensorFlow's
    cross-entropy takes the gradient of a row for softmax minus labels, which is right for labels
    that sum to 1, and label smoothing makes labels of zeros positive.

    Args:
        labels: One-hot tensor of shape `(rows, classes)`, or mixtures of such rows.

    Returns:
        Float32 tensor of shape `(rows,)`.

    Example:

    >>> weights_of_rows(ops.array([[0.0, 1.0], [0.0, 0.0]])).numpy().tolist()
    [1.0, 0.0]
    """
    return ops.cast(ops.sum(labels, axis=1) > 0, "float32")


def rank_of_truth(labels: Any, logits: Any) -> Any:
    """The number of classes that a network finds more likely than the true one.

    Of classes with equal logits, the one with the lower number comes first, as in `argmax`. A
    logit that is NaN never counts as less than another one, so that an image whose logits are NaN
    is not scored as correct.

    Args:
        labels: One-hot tensor of shape `(rows, classes)`.
        logits: Tensor of shape `(rows, classes)`.

    Returns:
        Int32 tensor of shape `(rows,)`, from 0. An image is among the top k if it is below k.

    Example:

    >>> logits = ops.array([[1.0, 3.0, 2.0], [0.0, 0.0, 0.0], [float("nan")] * 3])
    >>> rank_of_truth(ops.array([[0.0, 0.0, 1.0]] * 3), logits).numpy().tolist()
    [1, 2, 3]
    """
    truth = ops.argmax(labels, axis=-1)[:, None]
    own = ops.take_along_axis(logits, truth, axis=-1)
    classes = ops.arange(logits.shape[-1], dtype=truth.dtype)[None]
    comes_after = ops.logical_or(
        logits < own, ops.logical_and(ops.equal(logits, own), classes >= truth)
    )
    return ops.sum(ops.cast(ops.logical_not(comes_after), "int32"), axis=-1)


def top_sums(labels: Any, logits: Any, weights: Any) -> tuple[Any, Any, Any]:
    """Weighted sums of top-1, of top-5, and of the weights themselves, as scalars."""
    rank = rank_of_truth(labels, logits)
    top1, top5 = (ops.cast(rank < k, "float32") for k in (1, 5))
    return ops.sum(top1 * weights), ops.sum(top5 * weights), ops.sum(weights)
