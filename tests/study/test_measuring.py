import numpy as np
import pytest

from keras_wn.data import digits
from keras_wn.study import measuring


@pytest.mark.parametrize("made_once", [4096, 0], ids=["kept in memory", "streamed"])
def test_batches_are_the_split_in_order_and_its_last_one_is_filled_up(made_once, monkeypatch):
    monkeypatch.setattr(measuring, "_MADE_ONCE", made_once)
    splits = digits.load(8)
    batches = measuring.batches_of(splits.test, splits.classes)
    images, labels, weights = (np.concatenate(arrays) for arrays in zip(*batches.as_numpy_iterator(), strict=True))
    assert len(images) % 256 == 0
    counted = weights.reshape(-1) > 0
    np.testing.assert_array_equal(images[counted], splits.test.images)
    np.testing.assert_array_equal(labels[counted].argmax(-1), splits.test.labels)
