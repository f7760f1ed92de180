"""Measures what the pipeline of JPEG images adds to decoding them."""

import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_wn.benchmarks.workload import Workload
from keras_wn.data import image_folder
from keras_wn.training.text_table import Table
from keras_wn.training.timing import interleaved

_IMAGES = 400
_CLASSES = 4
_BATCHES = 12


def measure(workload: Workload) -> list[Table]:
    """Times training batches from an image folder, and a bare loop over the same files, in turns.

    The files are 500x375 pixels and about 90 KB, as ImageNet's are on average. The bare loop reads
    a file, decodes a random window of it by TensorFlow's fused operation, and resizes it, because a
    batch needs one size. It does not shuffle, mirror or standardize.

    Args:
        workload: `Workload`. Its batch size, image size and rounds count.

    Returns:
        List of one `Table`.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        paths = _write_images(root)
        splits = image_folder.load(root, workload.image_size)
        pipeline = splits.train.training_batches(workload.batch_size, splits.classes, seed=0)
        bare = _bare_batches(paths, workload.batch_size, workload.image_size)
        actions = {"bare decode and crop": _reader(bare), "pipeline": _reader(pipeline)}
        rows = interleaved(actions, workload.rounds, warm_up=2).rows()
    title = (
        f"{_BATCHES} batches of {workload.batch_size}, {workload.image_size} pixels; "
        f"{workload.rounds} rounds in turns"
    )
    return [Table(title, rows)]


def _write_images(root):
    """Writes random images that are smooth, so that their files are as large as photographs'."""
    rng = np.random.default_rng(0)
    paths = []
    for part, count in (("train", _IMAGES), ("val", _CLASSES)):
        for i in range(count):
            path = root / part / f"class{i % _CLASSES}" / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            smooth = Image.fromarray(rng.integers(0, 256, (94, 125, 3), dtype="uint8")).resize(
                (500, 375), Image.Resampling.BICUBIC
            )
            smooth.save(path, quality=90)
            if part == "train":
                paths.append(str(path))
    return paths


def _bare_batches(paths, batch_size, image_size):
    def decode(path):
        data = tf.io.read_file(path)
        shape = tf.io.extract_jpeg_shape(data)
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            shape,
            tf.zeros([1, 0, 4]),
            area_range=(0.08, 1.0),
            min_object_covered=0.0,
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.concat([begin[:2], size[:2]], axis=0)
        return tf.image.resize(
            tf.io.decode_and_crop_jpeg(data, window, channels=3), (image_size, image_size)
        )

    files = tf.data.Dataset.from_tensor_slices(paths).repeat()
    return (
        files.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def _reader(dataset):
    def read():
        batches = iter(dataset)
        next(batches)  # Filling the stream does not count.
        start = tf.timestamp()
        for _ in range(_BATCHES):
            next(batches)
        return float(tf.timestamp() - start)

    return read
