"""The data set that flags ask for."""

import pathlib

from keras_wn.data import cifar, digits, image_folder, imagenet_tfds, prepare
from keras_wn.data.augment import AUGMENTATIONS
from keras_wn.training.errors import UsageError

DATASETS = ("digits", "imagenet", *cifar.NAMES)


def load(dataset, data_dir=None, image_size=224, augment="standard", max_corrupt=100):
    """Loads a data set.

    Args:
        dataset: `"digits"`, which is embedded and needs no folder, `"imagenet"`, `"cifar10"` or `"cifar100"`.
        data_dir: Folder. For `"imagenet"` an image folder with `train/` and `val/`, or a TFDS folder with `imagenet2012/`; for
            CIFAR a TFDS folder, or None for TFDS' own.
        image_size: Positive integer, height and width of ImageNet's images and of the digits.
        augment: `"standard"` or `"paper"`; nothing for the digits.
        max_corrupt: Integer, how many images that cannot be decoded a run goes on with.

    Returns:
        `Splits`.

    Raises:
        UsageError: If a value is not allowed, or the data are not there or not whole.
    """
    if dataset not in DATASETS:
        raise UsageError(f"--dataset={dataset}: unknown. Allowed: {', '.join(DATASETS)}.")
    if augment not in AUGMENTATIONS:
        raise UsageError(f"--augment={augment}: unknown. Allowed: {', '.join(AUGMENTATIONS)}.")
    if image_size < 1:
        raise UsageError(f"--image_size={image_size}: not allowed. Allowed: 1 or more.")
    if dataset == "digits":
        if data_dir is not None:
            raise UsageError(
                f"--data_dir={data_dir}: the digits are embedded. Allowed: with --dataset=imagenet or cifar."
            )
        return digits.load(image_size)
    if data_dir is not None and not pathlib.Path(data_dir).is_dir():
        raise UsageError(f"--data_dir={data_dir}: no such folder. Leave it out to train on the embedded digits.")
    if dataset in cifar.NAMES:
        return cifar.load(dataset, data_dir, augment)
    if data_dir is None:
        raise UsageError("--dataset=imagenet needs its folder. Allowed: with --data_dir.")
    root = pathlib.Path(data_dir)
    if prepare.is_image_folder(root):
        return image_folder.load(root, image_size, augment, max_corrupt)
    if (root / imagenet_tfds.NAME).is_dir():
        return imagenet_tfds.load(root, image_size, augment, max_corrupt)
    raise UsageError(
        f"--data_dir={data_dir}: neither train/ and val/ (an image folder) nor {imagenet_tfds.NAME}/ (prepared by TFDS) is there. "
        + imagenet_tfds.HOW_TO_PREPARE.format(data_dir)
    )
