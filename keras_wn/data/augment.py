"""Crops, mirrors, resizes and standardizes encoded images, decoding the shown window alone."""

import tensorflow as tf

from keras_wn.data.reading import MAX_PIXELS

# Of ImageNet's training images, RGB, 0 to 255.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
_SHOWN_OF_STORED = (
    224 / 256
)  # Share of the stored image's side that a network of 224x224 images is shown.
_RATIOS = (3 / 4, 4 / 3)


class Crop:
    """Makes the images that a network sees from JPEG data or decoded images.

    Args:
        image_size: Positive integer, height and width of the result.
        augment: `"standard"`: a random window of 8 % to 100 % of the area and a ratio of 3/4 to
            4/3, mirrored half of the time. `"paper"`: a random window of 224/256 of either side,
            which is the 224x224 crop of the image resized to 256x256 up to the rounding of the
            window to whole pixels, mirrored half of the time. None: the central square of 224/256
            of the shorter side, not mirrored, as in evaluation.
        max_pixels: Positive integer, pixels of the largest image that is decoded.
    """

    def __init__(self, image_size: int, augment: str | None = None, max_pixels: int = MAX_PIXELS):
        self.image_size = image_size
        self.augment = augment
        self.max_pixels = max_pixels
        # Whole rows: the product by a vector of 3 channels takes as long as the decoding.
        self._scale = tf.tile(1 / tf.constant([[STD]]), [image_size, image_size, 1])
        self._shift = tf.tile(tf.constant([[MEAN]]), [image_size, image_size, 1])

    def decode(self, data: tf.Tensor, seed: int, number: tf.Tensor) -> tf.Tensor:
        """Image from JPEG data, decoding the window only.

        Args:
            data: Scalar string tensor.
            seed: Integer.
            number: Scalar int64 tensor, the image's number in the run. It and `seed` determine all
                random choices.

        Returns:
            Float32 tensor of shape `(image_size, image_size, 3)`.
        """
        shape = tf.io.extract_jpeg_shape(data)[:2]
        # TensorFlow accepts a truncated file if the crop avoids the missing part; reject it
        # for every crop.
        is_whole = tf.strings.substr(data, -2, 2) == b"\xff\xd9"
        is_small = tf.reduce_prod(tf.cast(shape, tf.int64)) <= self.max_pixels
        # No image can be decoded from an empty string.
        data = tf.where(is_whole & is_small, data, "")
        window = self._window(shape, seed, number)
        return self._finish(tf.io.decode_and_crop_jpeg(data, window, channels=3), seed, number)

    def from_decoded(self, image: tf.Tensor, seed: int, number: tf.Tensor) -> tf.Tensor:
        """Like `decode`, of a decoded uint8 image of shape `(height, width, 3)`."""
        top, left, height, width = tf.unstack(self._window(tf.shape(image)[:2], seed, number))
        return self._finish(image[top : top + height, left : left + width], seed, number)

    def _window(self, shape, seed, number):
        if self.augment == "standard":
            return _random_resized(shape, tf.stack([tf.constant(seed, tf.int64), 2 * number]))
        if self.augment == "paper":
            return _random_of_stored(
                shape, self.image_size, tf.stack([tf.constant(seed, tf.int64), 2 * number])
            )
        side = tf.cast(
            tf.round(tf.cast(tf.reduce_min(shape), "float32") * _SHOWN_OF_STORED), "int32"
        )
        side = tf.maximum(side, 1)
        return tf.concat([(shape - side) // 2, [side, side]], axis=0)

    def _finish(self, image, seed, number):
        if self.augment is not None:
            mirrored = (
                tf.random.stateless_uniform(
                    (), tf.stack([tf.constant(seed, tf.int64), 2 * number + 1])
                )
                < 0.5
            )
            # Mirror the uint8 image, which takes a quarter of the memory.
            image = tf.cond(mirrored, lambda: tf.reverse(image, axis=[1]), lambda: image)
        image = tf.image.resize(image, (self.image_size, self.image_size))
        return tf.ensure_shape(
            (image - self._shift) * self._scale, (self.image_size, self.image_size, 3)
        )


def _random_resized(shape, seed):
    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.concat([shape, [3]], axis=0),
        tf.zeros([1, 0, 4]),
        seed,
        min_object_covered=0.0,
        aspect_ratio_range=_RATIOS,
        area_range=(0.08, 1.0),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    # After ten tries, the operation returns the whole image. Take its largest central window of an
    # allowed ratio instead.
    middle = tf.minimum(
        shape, tf.cast(tf.math.ceil(tf.cast(shape[::-1], "float32") * _RATIOS[1]), "int32")
    )
    whole = tf.reduce_all(size[:2] == shape)
    begin, size = (
        tf.where(whole, (shape - middle) // 2, begin[:2]),
        tf.where(whole, middle, size[:2]),
    )
    return tf.concat([begin, size], axis=0)


def _random_of_stored(shape, image_size, seed):
    stored = round(image_size / _SHOWN_OF_STORED)
    offset = tf.random.stateless_uniform((2,), seed, 0, stored - image_size + 1, tf.int32)
    sides = tf.cast(shape, "float32") / stored
    begin = tf.cast(tf.round(tf.cast(offset, "float32") * sides), "int32")
    size = tf.maximum(tf.cast(tf.round(image_size * sides), "int32"), 1)
    begin = tf.minimum(begin, shape - size)
    return tf.concat([begin, size], axis=0)
