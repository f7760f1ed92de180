"""All kinds of image files, against images that are known."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_wn.data.decode import decode

HEIGHT, WIDTH = 5, 8
RNG = np.random.default_rng(0)
GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGB_ALPHA: 4}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth, color_type, values, **chunks):
    """The bytes of a PNG, written by its specification and not by a library."""
    bits = (values.reshape(HEIGHT, -1, 1) >> np.arange(depth)[::-1]) & 1
    rows = np.packbits(bits.reshape(HEIGHT, -1).astype("uint8"), axis=1)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, color_type, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    for name, content in chunks.items():
        data += chunk(name.encode(), content)
    data += chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
    return data + chunk(b"IEND", b"")


def png_and_truth(depth, color_type, is_keyed):
    """A PNG of random pixels, and its colors and alpha in [0, 1]."""
    largest = 2**depth - 1
    values = RNG.integers(0, largest + 1, (HEIGHT, WIDTH, CHANNELS[color_type]))
    chunks, alpha = {}, np.ones((HEIGHT, WIDTH, 1))
    if color_type == PALETTE:
        palette = RNG.integers(0, 256, (largest + 1, 4), dtype="uint8")
        chunks["PLTE"] = palette[:, :3].tobytes()
        color = palette[values[..., 0], :3] / 255
        if is_keyed:
            chunks["tRNS"] = palette[:, 3].tobytes()
            alpha = palette[values[..., 0], 3:] / 255
    else:
        color = values / largest
        if color_type in (GRAY_ALPHA, RGB_ALPHA):
            color, alpha = color[..., :-1], color[..., -1:]
        if is_keyed:
            chunks["tRNS"] = values[1, 1].astype(">u2").tobytes()
            alpha = (values != values[1, 1]).any(axis=-1, keepdims=True)
    return (
        png(depth, color_type, values, **chunks),
        np.broadcast_to(color, (*alpha.shape[:2], 3)),
        alpha,
    )


@pytest.mark.parametrize(
    "depth, color_type, is_keyed",
    [
        *[(depth, GRAY, keyed) for depth in (1, 2, 4, 8, 16) for keyed in (False, True)],
        *[(depth, PALETTE, keyed) for depth in (1, 2, 4, 8) for keyed in (False, True)],
        *[(depth, RGB, keyed) for depth in (8, 16) for keyed in (False, True)],
        *[(depth, kind, False) for depth in (8, 16) for kind in (GRAY_ALPHA, RGB_ALPHA)],
    ],
)
def test_a_png_of_any_kind_is_as_it_is_seen_on_white(depth, color_type, is_keyed):
    data, color, alpha = png_and_truth(depth, color_type, is_keyed)
    found = decode(data)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found, 255 * (color * alpha + 1 - alpha), atol=1)


def smooth():
    """A smooth image, which JPEG keeps nearly as it is."""
    y, x = np.mgrid[:32, :40] / 40
    return (
        np.stack([40 + 150 * x, 200 - 150 * y, 60 + 100 * x * y], axis=-1).round().astype("uint8")
    )


def saved(image, format, **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def jpeg_and_truth(kind):
    image, options = smooth(), {"quality": 100, "subsampling": 0}
    if kind == "gray":
        return saved(Image.fromarray(image[..., 0]), "JPEG", **options), image[..., :1]
    if kind == "RGB without YCbCr":
        return saved(Image.fromarray(image), "JPEG", keep_rgb=True, **options), image
    if kind == "progressive":
        return saved(Image.fromarray(image), "JPEG", progressive=True, **options), image
    if kind == "CMYK":
        black = np.full((*image.shape[:2], 1), 51, "uint8")
        inks = np.concatenate([255 - image, black], axis=-1)
        data = saved(_cmyk(inks), "JPEG", **options)
        return data, image * 0.8
    if kind == "YCCK":
        # Pillow writes inks as they are. They are made luma and chroma here, and called so.
        luma = np.asarray(Image.fromarray(image).convert("YCbCr"))
        inks = np.concatenate([luma, np.zeros((*image.shape[:2], 1), "uint8")], axis=-1)
        data = bytearray(saved(_cmyk(inks), "JPEG", **options))
        transform = data.index(b"Adobe") + 11
        assert data[transform] == 0
        data[transform] = 2
        return bytes(data), image
    return saved(Image.fromarray(image), "JPEG", **options), image


def _cmyk(inks):
    return Image.frombytes("CMYK", inks.shape[1::-1], inks.tobytes())


@pytest.mark.parametrize(
    "kind", ["YCbCr", "gray", "RGB without YCbCr", "progressive", "CMYK", "YCCK"]
)
def test_a_jpeg_of_any_kind_is_its_image_by_either_decoder(kind):
    data, truth = jpeg_and_truth(kind)
    truth = np.broadcast_to(truth, (*truth.shape[:2], 3))
    np.testing.assert_allclose(decode(data), truth, atol=8)
    window = [0, 0, *truth.shape[:2]]
    np.testing.assert_allclose(tf.io.decode_and_crop_jpeg(data, window, channels=3), truth, atol=8)


def rgba():
    alpha = np.zeros((32, 40, 1), "uint8")
    alpha[:, :20] = 255
    return Image.fromarray(np.concatenate([smooth(), alpha], axis=-1))


def gray_16():
    return np.arange(32 * 40, dtype="uint16").reshape(32, 40) * 51


def tiff(array, photometric):
    return saved(Image.fromarray(array), "TIFF", tiffinfo={262: photometric})


GRAY_TRUTH = np.repeat((gray_16() / 257)[..., None], 3, axis=-1)
HALF = np.concatenate([smooth()[:, :20], np.full((32, 20, 3), 255)], axis=1)
FILES = {
    "bmp": lambda: (saved(Image.fromarray(smooth()), "BMP"), smooth()),
    "gif, of which the first frame counts": lambda: (
        saved(
            Image.fromarray(smooth()).quantize(256),
            "GIF",
            save_all=True,
            append_images=[Image.new("RGB", (40, 32), "red")],
        ),
        smooth(),
    ),
    "gif with transparency": lambda: (saved(rgba(), "GIF"), HALF),
    "webp": lambda: (saved(Image.fromarray(smooth()), "WEBP", lossless=True), smooth()),
    "webp with alpha": lambda: (saved(rgba(), "WEBP", lossless=True), HALF),
    "tiff": lambda: (saved(Image.fromarray(smooth()), "TIFF"), smooth()),
    "tiff with alpha": lambda: (saved(rgba(), "TIFF"), HALF),
    "tiff of 16 bits": lambda: (tiff(gray_16(), 1), GRAY_TRUTH),
    "tiff of 16 bits, white is 0": lambda: (tiff(gray_16(), 0), 255 - GRAY_TRUTH),
    "big-endian tiff of 16 bits": lambda: (
        saved(Image.fromarray(gray_16().astype(">u2")), "TIFF"),
        GRAY_TRUTH,
    ),
    "ppm": lambda: (saved(Image.fromarray(smooth()), "PPM"), smooth()),
    "pgm of 16 bits": lambda: (
        b"P5 40 32 65535\n" + gray_16().astype(">u2").tobytes(),
        GRAY_TRUTH,
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_other_formats_are_read(kind):
    data, truth = FILES[kind]()
    # A palette of 256 colors is not exact.
    np.testing.assert_allclose(decode(data), truth, atol=16 if "gif" in kind else 1)


@pytest.mark.parametrize(
    "data, message",
    [
        (lambda: saved(Image.fromarray(gray_16().astype("float32")), "TIFF"), "32 bits"),
        (lambda: saved(Image.fromarray(gray_16().astype("int32")), "TIFF"), "32 bits"),
        (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot identify"),
    ],
    ids=["float", "integer", "a program in PostScript"],
)
def test_images_without_a_known_white_and_programs_are_refused(data, message):
    with pytest.raises(Exception, match=message):
        decode(data())


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP", "JPEG"])
def test_more_pixels_than_allowed_are_refused_before_they_are_decoded(kind):
    data = saved(Image.new("L", (40, 32)), kind)
    assert decode(data, 40 * 32).shape == (32, 40, 3)
    with pytest.raises(ValueError, match="40x32 pixels. Allowed: at most --max_pixels=1279"):
        decode(data, 40 * 32 - 1)
