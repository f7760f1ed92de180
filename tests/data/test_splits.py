import itertools

import numpy as np
import pytest

from keras_wn.data.splits import Examples
from keras_wn.errors import UsageError

TEN = Examples(np.arange(10, dtype="float32").reshape(10, 1, 1, 1), np.arange(10) % 3)


def steps(count, **arguments):
    batches = TEN.training_batches(**{"batch_size": 3, "classes": 3, "seed": 0, **arguments})
    return [
        (images.ravel().astype(int), labels) for images, labels in itertools.islice(batches, count)
    ]


def steps_as_floats(count=6, **arguments):
    batches = TEN.training_batches(**{"batch_size": 3, "classes": 3, "seed": 0, **arguments})
    return [(images.ravel(), labels) for images, labels in itertools.islice(batches, count)]


def test_an_epoch_shows_no_image_twice_and_leaves_the_rest_out():
    for epoch in range(20):
        shown = np.concatenate([images for images, _ in steps(3, first_step=3 * epoch)])
        assert len(set(shown)) == 9


def test_each_epoch_has_an_order_of_its_own_and_every_image_is_shown_sooner_or_later():
    shown = [
        np.concatenate([images for images, _ in steps(3, first_step=3 * e)]) for e in range(20)
    ]
    assert len({tuple(order) for order in shown}) > 15
    assert set(np.concatenate(shown)) == set(range(10))


def test_labels_belong_to_their_images():
    for images, labels in steps(9):
        np.testing.assert_array_equal(labels.argmax(axis=1), images % 3)
        np.testing.assert_array_equal(labels.sum(axis=1), 1)


def test_stream_from_a_later_step_is_the_same_stream():
    whole = [images for images, _ in steps(12)]
    for first in (1, 5, 9):
        rest = [images for images, _ in steps(12 - first, first_step=first)]
        np.testing.assert_array_equal(whole[first:], rest)


def test_order_depends_on_the_seed():
    assert not np.array_equal(steps(3)[0][0], steps(3, seed=1)[0][0])


def test_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="11 is larger than the 10 examples"):
        TEN.training_batches(11, 3, 0)


def test_evaluation_on_several_devices_fills_the_last_batch_up_without_weight():
    batches = list(TEN.evaluation_batches(6, 3, device_count=3))
    assert [len(images) for images, _, _ in batches] == [6, 6]
    weights = np.concatenate([w for _, _, w in batches])
    np.testing.assert_array_equal(weights, [1.0] * 10 + [0.0] * 2)
    np.testing.assert_array_equal(
        np.concatenate([x.ravel() for x, _, _ in batches])[:10], np.arange(10)
    )


def test_evaluation_shows_every_image_once_in_order():
    batches = list(TEN.evaluation_batches(4, 3))
    assert [len(images) for images, _ in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([x.ravel() for x, _ in batches]), np.arange(10))


def test_batches_can_be_passed_through_again():
    batches = TEN.evaluation_batches(4, 3)
    assert len(list(batches)) == len(list(batches)) == 3


def test_groups_are_the_same_batches_and_leave_an_incomplete_group_out():
    single = list(TEN.evaluation_batches(2, 3))
    groups = list(TEN.evaluation_batches(2, 3).grouped(2))
    assert [images.shape for images, _ in groups] == [(2, 2, 1, 1, 1)] * 2
    np.testing.assert_array_equal(groups[1][0][1], single[3][0])


@pytest.mark.parametrize(
    "what, shard, allowed",
    [
        ("A batch of 3 does not divide among 2 shards", (0, 2), "multiples of 2"),
        ("Shard 3 of 3: no such shard", (3, 3), "0 to 2"),
    ],
)
def test_parts_of_a_batch_that_do_not_exist_are_refused(what, shard, allowed):
    with pytest.raises(UsageError, match=f"{what}. Allowed: {allowed}."):
        TEN.training_batches(3, 3, 0, shard=shard)


def test_mixup_mixes_each_image_and_its_label_with_the_next_of_the_batch():
    for (plain, labels), (mixed, mixed_labels) in zip(
        steps(6), steps_as_floats(mixup=0.4), strict=True
    ):
        following = np.roll(plain, -1)
        share = (mixed[0] - following[0]) / (plain[0] - following[0])
        assert 0 <= share <= 1
        np.testing.assert_allclose(mixed, share * plain + (1 - share) * following, rtol=1e-5)
        expected = share * labels + (1 - share) * np.roll(labels, -1, axis=0)
        np.testing.assert_allclose(mixed_labels, expected, atol=1e-5)


def test_shares_of_mixup_follow_the_beta_distribution():
    pairs = zip(steps(2000), steps_as_floats(2000, mixup=0.4), strict=True)
    shares = [(mixed[0] - plain[1]) / (plain[0] - plain[1]) for (plain, _), (mixed, _) in pairs]
    # The variance of a beta distribution with both parameters a is 1 / (8 a + 4).
    np.testing.assert_allclose(np.mean(shares), 0.5, atol=0.03)
    np.testing.assert_allclose(np.var(shares), 1 / 7.2, rtol=0.1)


def test_shards_mix_as_one_process():
    whole = steps_as_floats(4, batch_size=4, mixup=1.0)
    shards = [steps_as_floats(4, batch_size=4, mixup=1.0, shard=(i, 2)) for i in range(2)]
    for (images, labels), first, second in zip(whole, *shards, strict=True):
        np.testing.assert_array_equal(images, np.concatenate([first[0], second[0]]))
        np.testing.assert_array_equal(labels, np.concatenate([first[1], second[1]]))


def test_images_for_statistics_alone_follow_the_batch_without_labels():
    for (plain, labels), (images, more_labels) in zip(
        steps(6), steps_as_floats(6, statistics_batch=9), strict=True
    ):
        assert len(images) == 9 == len(set(images))
        np.testing.assert_array_equal(images[:3], plain)
        # Labels that sum to 1, for which alone TensorFlow's gradient is right.
        np.testing.assert_array_equal(more_labels[:3], labels)
        np.testing.assert_array_equal(more_labels[3:], 0)
