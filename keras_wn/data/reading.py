"""Opens the folders and files of data sets, and says in one line what cannot be read."""

import contextlib
import errno
import os
import pathlib
import re
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from keras_wn.errors import UsageError

# The default of --max_pixels; the largest image of ImageNet has 38 million.
MAX_PIXELS = 100_000_000


def fault(data_dir: Any, text: str) -> UsageError:
    """The error that says in one line why the data of `--data_dir` cannot be used.

    Args:
        data_dir: Path. None for the folder of TensorFlow Datasets.
        text: What is wrong, and what is allowed.
    """
    flag = "--data_dir" if data_dir is None else f"--data_dir={data_dir}"
    return UsageError(printable(f"{flag}: {text}"))


def printable(path: Any) -> str:
    """A path as text that any screen can show, with escapes for control characters and odd bytes.

    Example:

    >>> print(printable("data/caf\\udce9"))
    data/caf\\udce9
    """
    text = str(path)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def reason(error: OSError) -> str:
    """Why a file cannot be read, without the path."""
    return error.strerror or str(error)


def first_line(error: Exception) -> str:
    """The first line of an error's message, without the operation of TensorFlow that raised it.

    Example:

    >>> first_line(ValueError("{{function_node A}} corrupted record at 9 [Op:IteratorGetNext]"))
    'corrupted record at 9'
    """
    text = str(error).strip().split("\n")[0]
    return re.sub(r"^\{\{.*?\}\} ?| ?\[Op:\w+\].*$", "", text) or type(error).__name__


def folder(data_dir: str | pathlib.Path, allowed: str) -> pathlib.Path:
    """The path of a folder of data that can be entered.

    Args:
        data_dir: Path.
        allowed: What is allowed, for the message.

    Raises:
        UsageError: If there is no such folder, or it may not be entered.
    """
    try:
        os.stat(os.path.join(data_dir, "."))
    # A path with a null character is a `ValueError`.
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise fault(data_dir, f"no such folder. Allowed: {allowed}.") from error
    except OSError as error:
        raise fault(
            data_dir, f"cannot be entered ({reason(error)}). Allowed: {allowed}."
        ) from error
    return pathlib.Path(data_dir)


def open_file(path: str | pathlib.Path) -> BinaryIO:
    """Opens a regular file to read its bytes.

    Args:
        path: Path. A symbolic link may lead to the file.

    Raises:
        OSError: If it cannot be opened, or is a folder, a FIFO, a socket or a device.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    # Without O_NONBLOCK, opening a FIFO that has just replaced the file would wait for a writer.
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def read_file(data_dir: Any, path: pathlib.Path, longest: int) -> bytes:
    """The bytes of a file of `--data_dir`.

    Args:
        data_dir: Folder, for messages.
        path: Path of the file.
        longest: The bytes that it may have.

    Raises:
        UsageError: If the file is missing, cannot be read, or is longer.
    """
    try:
        with open_file(path) as file:
            data = file.read(longest + 1)
    except FileNotFoundError as error:
        raise fault(data_dir, f"the file {path.name!r} is missing.") from error
    except OSError as error:
        raise fault(data_dir, f"{path.name!r} cannot be read ({reason(error)}).") from error
    if len(data) > longest:
        raise fault(data_dir, f"{path.name!r} has more than {longest} bytes. Allowed: {longest}.")
    return data


def check_varied(data_dir: Any, images: np.ndarray) -> None:
    """Raises `UsageError` if all pixels of some images are equal, which cannot be standardized."""
    if images.min() == images.max():
        raise fault(
            data_dir,
            f"all pixels of the training images are {images.min():g}. Allowed: images that differ.",
        )


@contextlib.contextmanager
def prepared_by_tfds(data_dir: Any, folder: pathlib.Path, how: str) -> Iterator[None]:
    """Scope in which any error of a prepared data set becomes one line.

    Args:
        data_dir: Folder, for messages.
        folder: Folder of the data set in it, which need not exist.
        how: How to prepare the data set, an imperative.

    Raises:
        UsageError: If TensorFlow Datasets fails to read in the scope.
    """
    check_regular(data_dir, folder)
    try:
        yield
    except (UsageError, MemoryError):
        raise
    # Damaged metadata and records are errors of many libraries' own kinds.
    except Exception as error:
        raise fault(
            data_dir,
            f"TensorFlow Datasets cannot read {str(folder)!r} ({type(error).__name__}: "
            f"{first_line(error)!r}). Allowed: a set as it was prepared. Copy it again, or delete "
            f"that folder and prepare the set again. {how}",
        ) from error


def check_regular(data_dir: Any, folder: pathlib.Path) -> None:
    """Raises `UsageError` if a folder holds a FIFO, a socket or a device, at any depth.

    It is for folders that other libraries read, which would wait for a FIFO forever.
    """
    for path, mode in _modes(folder):
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise fault(data_dir, f"{path!r} is not a regular file. Allowed: regular files.")


def _modes(folder: pathlib.Path) -> Iterator[tuple[str, int]]:
    for parent, _, names in os.walk(folder):
        for path in (os.path.join(parent, name) for name in names):
            try:
                yield path, os.stat(path).st_mode
            except FileNotFoundError:
                continue  # A link that leads nowhere is reported as a missing file.
