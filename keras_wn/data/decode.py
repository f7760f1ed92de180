"""Decodes whole image files of many formats, with Pillow, to 8-bit RGB."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_wn.data.reading import MAX_PIXELS

# Suffix of a file -> Pillow's name of its format. A file is decoded by its content, not its suffix.
FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pbm": "PPM",
    ".pnm": "PPM",
}
_WHITE = 2**16 - 1
# `decode` has a bound of its own, which a flag sets.
Image.MAX_IMAGE_PIXELS = None


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The image of a file: 8 bits a channel, RGB, of the first frame, on white where transparent.

    Gray becomes three equal channels, and 16 bits are rounded to 8. CMYK is converted without a
    color profile. The orientation in a camera's metadata is not applied, as in TensorFlow.

    Args:
        data: Bytes of a file.
        max_pixels: Positive integer. A small file can take gigabytes of memory.

    Returns:
        uint8 array of shape `(height, width, 3)`.

    Raises:
        ValueError: If the image has more pixels, or pixels whose range is not known.
        Exception: Nearly any, if the file is damaged.
    """
    with Image.open(io.BytesIO(data), formats=sorted(set(FORMATS.values()))) as image:
        check_pixels(image.width, image.height, max_pixels)
        if image.format == "PNG" and _needs_16_bits(data, image):
            return _on_white(tf.io.decode_png(data, channels=4, dtype=tf.uint16).numpy())
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
            return _from_16_bit_gray(image)
        if image.mode in ("I", "F"):
            raise ValueError(
                f"pixels of 32 bits, whose black and white are not known (Pillow's {image.mode!r})"
            )
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return np.asarray(image.convert("RGB"))


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raises `ValueError` if an image has more pixels than `max_pixels`."""
    if width * height > max_pixels:
        raise ValueError(f"{width}x{height} pixels. Allowed: at most --max_pixels={max_pixels}")


def _needs_16_bits(data, image):
    """Whether Pillow would clip or mistake pixels of a PNG.

    It clips 16-bit gray, and compares a transparent color of one depth with pixels of another.
    """
    depth, color_type = data[24], data[25]  # In the header, which a PNG begins with.
    return depth == 16 or (color_type in (0, 2) and "transparency" in image.info)


def _on_white(image):
    color, alpha = image[..., :3].astype("uint32"), image[..., 3:].astype("uint32")
    return _rounded((color * alpha + _WHITE * (_WHITE - alpha)) // _WHITE)


def _from_16_bit_gray(image):
    tags = getattr(image, "tag_v2", {258: (16,), 262: 1})  # A TIFF's depth, and whether 0 is white.
    if tags[258] != (16,) or tags[262] not in (0, 1):
        raise ValueError(f"gray pixels of {tags[258][0]} bits. Allowed: 8 or 16")
    gray = _rounded(np.asarray(image).astype("uint32"))
    return np.repeat((255 - gray if tags[262] == 0 else gray)[..., None], 3, axis=-1)


def _rounded(image):
    return ((image + 128) // 257).astype("uint8")
