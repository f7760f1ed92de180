"""Noise as large as that of batch normalization's statistics."""

import keras
import numpy as np
import pytest

from keras_wn import layers
from keras_wn.layers import BatchStatisticsNoise
from tests.helpers import gradients, to_numpy

IMAGES = np.random.default_rng(0).normal(3.0, 2.0, (64, 5, 5, 4)).astype("float32")
VECTORS = np.random.default_rng(1).normal(3.0, 2.0, (512, 4)).astype("float32")


def statistics(x, batch_size, steps):
    """`s' / s` and `m' - m` of each step and channel, read off the layer's outputs."""
    layer = BatchStatisticsNoise(batch_size, seed=0)
    axes = tuple(range(x.ndim - 1))
    mean, std = x.mean(axes), x.std(axes)
    found = []
    for _ in range(steps):
        y = to_numpy(layer(x, training=True))
        ratio = std / y.std(axes)
        found.append([ratio, (mean - y.mean(axes)) * ratio])
    return np.array(found).swapaxes(0, 1)


def test_inference_is_the_identity_and_training_is_a_line_for_each_channel():
    layer = BatchStatisticsNoise(8, seed=0)
    np.testing.assert_array_equal(to_numpy(layer(IMAGES)), IMAGES)
    noisy = to_numpy(layer(IMAGES, training=True))
    assert not np.allclose(noisy, IMAGES, atol=1e-2)
    for channel in range(4):
        x, y = IMAGES[..., channel].ravel(), noisy[..., channel].ravel()
        slope, offset = np.polyfit(x, y, 1)
        np.testing.assert_allclose(y, slope * x + offset, atol=1e-4)
    assert not np.allclose(to_numpy(layer(IMAGES, training=True)), noisy)


# Of independent normal numbers, m' has the deviation s / sqrt(B), and s' about s / sqrt(2 B).
@pytest.mark.parametrize("batch_size", [8, 32])
def test_noise_has_the_moments_of_a_batchs_statistics(batch_size):
    ratios, shifts = statistics(VECTORS, batch_size, steps=200)
    std = VECTORS.std(axis=0)
    np.testing.assert_allclose(shifts.std(axis=0), std / batch_size**0.5, rtol=0.2)
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=0.3 * std.max() / 8**0.5)
    np.testing.assert_allclose(ratios.std(axis=0), (2 * batch_size) ** -0.5, rtol=0.2)


def test_positions_of_an_image_share_its_noise():
    # Images that are constant have as much noise as if they had one position; those of independent
    # positions have as little as a batch of all positions.
    constant = np.repeat(VECTORS[:64, None, None], 5, 1).repeat(5, 2)
    of_constant = statistics(constant, 8, steps=200)[1].std(axis=0)
    of_independent = statistics(IMAGES, 8, steps=200)[1].std(axis=0)
    np.testing.assert_allclose(of_constant / of_independent, 5.0, rtol=0.3)


def test_noise_of_large_batches_is_small():
    ratios, shifts = statistics(VECTORS, 100_000, steps=2)
    np.testing.assert_allclose(ratios, 1, atol=0.02)
    np.testing.assert_allclose(shifts, 0, atol=0.05)


def test_statistics_are_constants_to_the_gradient():
    layer = BatchStatisticsNoise(8, seed=0)
    # A layer with a bias in front makes the gradient of the input visible in a variable.
    shifted = keras.Sequential([keras.Input((4,)), layers.ScalarBias(), layer])
    before = layer.seed_generator.state.value + 0
    outputs = to_numpy(shifted(VECTORS, training=True))
    slopes = outputs.std(axis=0) / VECTORS.std(axis=0)
    cotangent = np.random.default_rng(2).normal(size=outputs.shape).astype("float32")
    in_training = InTraining(shifted)
    in_training(VECTORS)
    layer.seed_generator.state.assign(before)
    found = gradients(in_training, VECTORS, cotangent)["bias"]
    np.testing.assert_allclose(found, np.sum(cotangent * slopes), rtol=1e-3, atol=1e-2)


class InTraining(keras.Model):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def call(self, x):
        return self.model(x, training=True)


def test_a_constant_channel_has_no_noise_and_half_precision_stays():
    constant = np.full((16, 3), 2.0, "float32")
    layer = BatchStatisticsNoise(4, seed=0)
    np.testing.assert_allclose(to_numpy(layer(constant, training=True)), constant, rtol=1e-6)
    half = BatchStatisticsNoise(4, dtype="mixed_bfloat16")
    assert keras.backend.standardize_dtype(half(constant, training=True).dtype) == "bfloat16"


def test_bad_arguments_are_refused():
    for batch_size in (1, 2.5, True):
        with pytest.raises(
            ValueError, match=f"batch_size={batch_size} is not allowed. Allowed: an"
        ):
            BatchStatisticsNoise(batch_size)
    for axis in (0, 2, -2):
        with pytest.raises(ValueError, match=f"axis={axis} must be an axis other than the first"):
            BatchStatisticsNoise(4, axis=axis)(VECTORS)


def test_the_layer_is_saved(tmp_path):
    model = keras.Sequential([keras.Input((4,)), BatchStatisticsNoise(8, seed=3)])
    model.save(tmp_path / "model.keras")
    layer = keras.saving.load_model(tmp_path / "model.keras").layers[0]
    assert (layer.batch_size, layer.axis, layer.seed) == (8, -1, 3)


def test_a_mask_leaves_positions_out_of_the_statistics():
    """With a mask, the noise is that of the same images without the masked positions."""
    x = np.random.default_rng(0).normal(3.0, 2.0, (16, 5, 2)).astype("float32")
    padded = np.concatenate([x, np.full((16, 4, 2), 1e3, "float32")], axis=1)
    mask = np.concatenate([np.ones((16, 5), "bool"), np.zeros((16, 4), "bool")], axis=1)
    layer, other = BatchStatisticsNoise(8, seed=0), BatchStatisticsNoise(8, seed=0)
    expected = to_numpy(layer(x, training=True))
    found = to_numpy(other(padded, training=True, mask=mask))
    np.testing.assert_allclose(found[:, :5], expected, rtol=1e-4, atol=1e-5)
