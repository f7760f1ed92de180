"""Small data sets on disk: real JPEG files, few and tiny."""

import io
import itertools
import pathlib
import shutil
import tempfile

import numpy as np
import pytest
from PIL import Image


def jpeg(seed, size=(64, 48), **options):
    """A smooth random image as the bytes of a file."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype="uint8")
    stream = io.BytesIO()
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    mode = options.pop("mode", "RGB")
    image.convert(mode).save(stream, **{"format": "JPEG", "quality": 90, **options})
    return stream.getvalue()


@pytest.fixture
def image_folder(tmp_path):
    """3 classes of 9 training and 3 validation images: 24 are left to train on, 3 are held out."""
    for part, count in (("train", 9), ("val", 3)):
        for label, name in enumerate(("ant", "bee", "cat")):
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                path = folder / f"{name}_{i}.JPEG"
                path.write_bytes(
                    jpeg(1000 * label + i + 100 * (part == "val"), size=(64 + 4 * i, 48))
                )
    return tmp_path / "images"


@pytest.fixture
def open_folder():
    """A folder that another user may enter, which those of pytest are not."""
    path = pathlib.Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def jpeg_bytes():
    """Function that makes the bytes of an image file."""
    return jpeg


@pytest.fixture
def take():
    """Function that gives the first batches of a stream as arrays."""

    def first(batches, count):
        return [
            tuple(np.asarray(part) for part in batch) for batch in itertools.islice(batches, count)
        ]

    return first


@pytest.fixture
def assert_stream(take):
    """Function that checks that resumed streams and shards of a split equal the whole stream."""

    def check(split, batch_size, classes, steps, resumed_at):
        whole = take(split.training_batches(batch_size, classes, seed=3), steps)
        for first in resumed_at:
            rest = take(
                split.training_batches(batch_size, classes, seed=3, first_step=first), steps - first
            )
            for one, other in zip(whole[first:], rest, strict=True):
                assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
        shards = [
            take(
                split.training_batches(batch_size, classes, seed=3, first_step=1, shard=(i, 2)),
                steps - 1,
            )
            for i in range(2)
        ]
        for one, *parts in zip(whole[1:], *shards, strict=True):
            for a, b in zip(one, zip(*parts, strict=True), strict=True):
                np.testing.assert_array_equal(a, np.concatenate(b))
        other_seed = take(split.training_batches(batch_size, classes, seed=4), 1)
        assert not np.array_equal(whole[0][0], other_seed[0][0])
        return whole

    return check


@pytest.fixture
def assert_evaluation(take):
    """Function that checks that an evaluation shows each image once, for odd sizes and shards."""

    def check(split, classes):
        total = len(split)
        plain = take(split.evaluation_batches(total, classes), None)
        assert len(plain) == 1
        images, labels = plain[0]
        for batch_size in (2, total - 1, total + 3):
            parts = take(split.evaluation_batches(batch_size, classes), None)
            for i, expected in enumerate((images, labels)):
                np.testing.assert_array_equal(np.concatenate([p[i] for p in parts]), expected)
        for batch_size, device_count, count in ((2, 2, 1), (4, 4, 2), (6, 3, 3), (8, 1, 4)):
            shards = [
                take(split.evaluation_batches(batch_size, classes, device_count, (i, count)), None)
                for i in range(count)
            ]
            assert len({len(shard) for shard in shards}) == 1
            for batch in zip(*shards, strict=True):
                sizes = {len(part[0]) for part in batch}
                assert len(sizes) == 1 and sizes.pop() * count % device_count == 0
            flat = [
                [np.concatenate(parts) for parts in zip(*batch, strict=True)]
                for batch in zip(*shards, strict=True)
            ]
            shown, one_hot, weights = (np.concatenate(parts) for parts in zip(*flat, strict=True))
            np.testing.assert_array_equal(shown[weights == 1], images)
            np.testing.assert_array_equal(one_hot[weights == 1], labels)
            assert (
                weights.sum() == total
                and not shown[weights == 0].any()
                and not one_hot[weights == 0].any()
            )
        return images, labels

    return check
