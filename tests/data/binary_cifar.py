"""Writes small files in the binary form of CIFAR's authors."""

import numpy as np

from keras_wn.data import cifar


def write_binary(root, name, count):
    """The authors' files with `count` random images each. Returns their images and labels."""
    data = cifar.SETS[name]
    folder = root / data.folder
    folder.mkdir()
    generator, written = np.random.default_rng(0), []
    for path in (folder / file for part in data.files for file in part):
        images = generator.integers(0, 256, (count, 32, 32, 3), dtype="uint8")
        labels = generator.integers(0, 10, (count, data.label_bytes), dtype="uint8")
        planes = images.transpose(0, 3, 1, 2).reshape(count, -1)
        path.write_bytes(np.concatenate([labels, planes], axis=1).tobytes())
        written.append((images, labels[:, -1]))
    return written
