"""Scores of equal logits and of logits that are not finite."""

import numpy as np
import pytest

from keras_wn.training.scores import rank_of_truth, top_sums

CLASSES = 1000
LABELS = np.eye(CLASSES, dtype="float32")


def shares(labels, logits):
    top1, top5, count = (float(x) for x in top_sums(labels, logits, np.ones(len(labels), "f")))
    return top1 / count, top5 / count


def test_distinct_logits_rank_as_they_are_sorted():
    logits = np.random.default_rng(0).normal(size=(50, CLASSES)).astype("float32")
    truth = np.arange(50)
    places = np.argsort(np.argsort(-logits, axis=1), axis=1)[truth, truth]
    np.testing.assert_array_equal(rank_of_truth(LABELS[:50], logits), places)


@pytest.mark.parametrize("value", [0.0, 3.5, float("inf"), float("-inf")])
def test_equal_logits_are_guesses(value):
    logits = np.full((CLASSES, CLASSES), value, "float32")
    assert shares(LABELS, logits) == pytest.approx((1 / CLASSES, 5 / CLASSES))


def test_logits_that_are_no_numbers_are_never_right():
    logits = np.full((CLASSES, CLASSES), np.nan, "float32")
    assert shares(LABELS, logits) == (0.0, 0.0)
    # A single one may be of any class. It leaves the others' order as it is.
    some = np.zeros((3, 10), "float32")
    some[:, 0], some[:, 1] = np.nan, 1.0
    np.testing.assert_array_equal(rank_of_truth(LABELS[:3, :10], some), [10, 1, 2])
