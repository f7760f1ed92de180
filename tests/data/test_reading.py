"""Folders and files that cannot be read: one line for each, and no waiting."""

import logging
import os
import socket

import numpy as np
import pytest

from keras_wn.data import datasets, digest, idx, prepare, reading
from keras_wn.errors import UsageError
from tests.data.binary_cifar import write_binary
from tests.data.other_user import message_of

LOADS = {
    "imagenet": lambda path: datasets.load("imagenet", path),
    "cifar10": lambda path: datasets.load("cifar10", path),
    "mnist": lambda path: datasets.load("mnist", path, 28),
    "--prepare": lambda path: prepare.run(None, path, "array_record"),
}


def itself(path):
    path.symlink_to(path)
    return path


def file(path):
    path.write_bytes(b"")
    return path


@pytest.fixture(autouse=True)
def _no_log():
    """TensorFlow Datasets logs paths that are no text, which pytest's workers cannot send."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize(
    "make",
    [
        lambda folder: folder / ("a" * 300),
        lambda folder: f"{folder}/{'/'.join(['a' * 99] * 40)}",
        lambda folder: f"{folder}/null\0null",
        lambda folder: folder / "missing\nline",
        lambda folder: f"{folder}/caf\udce9",
        lambda folder: itself(folder / "itself"),
        lambda folder: file(folder / "file"),
    ],
    ids=["300 letters", "4,000 letters", "null", "newline", "Latin-1", "itself", "file"],
)
def test_a_folder_that_is_none_is_one_line_that_quotes_it(load, make, tmp_path):
    path = str(make(tmp_path))
    with pytest.raises(UsageError, match="^--data_dir=.*Allowed: ") as error:
        LOADS[load](path)
    message = str(error.value)
    assert message.isprintable() and reading.printable(path) in message


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("name", ["line\nline\x1b[31m", "caf\udce9"], ids=["lines", "Latin-1"])
def test_an_empty_folder_of_any_name_is_one_line_that_quotes_it(load, name, tmp_path):
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="^--data_dir=") as error:
        LOADS[load](str(tmp_path / name))
    message = str(error.value)
    assert message.isprintable() and reading.printable(tmp_path / name) in message


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("mode", [0, 0o400])
def test_a_folder_that_may_not_be_entered_is_one_line(load, mode, open_folder):
    (open_folder / "kept").mkdir(mode=mode)
    kind, message = message_of(lambda: LOADS[load](str(open_folder / "kept")))
    assert kind == "UsageError"
    assert f"--data_dir={open_folder}/kept: cannot be entered (Permission denied)." in message


def fifo(path):
    os.mkfifo(path)


def bound_socket(path):
    here = os.getcwd()
    os.chdir(path.parent)  # The path of a socket is short.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


def device(path):
    path.symlink_to("/dev/zero")


def folder(path):
    path.mkdir()


def nowhere(path):
    path.symlink_to("/nowhere")


@pytest.mark.parametrize("make", [fifo, bound_socket, device, folder])
def test_special_files_are_not_opened(make, tmp_path):
    make(tmp_path / "x")
    with pytest.raises(OSError):
        reading.open_file(tmp_path / "x")


@pytest.mark.parametrize("make", [fifo, bound_socket, device, folder, nowhere])
def test_cifar_takes_regular_files_alone(make, tmp_path):
    write_binary(tmp_path, "cifar100", 20)
    path = tmp_path / "cifar-100-binary" / "test.bin"
    path.unlink()
    make(path)
    with pytest.raises(UsageError, match=r"'test.bin' (cannot be read \(|is missing)"):
        datasets.load("cifar100", tmp_path, allow_partial=True)


@pytest.mark.parametrize("make", [fifo, bound_socket, device, folder, nowhere])
def test_idx_takes_regular_files_alone(make, tmp_path):
    for name in idx._files(idx.SETS["mnist"]):
        make(tmp_path / name)
    with pytest.raises(UsageError, match=r"'train-images-idx3-ubyte' cannot be read \("):
        datasets.load("mnist", tmp_path, 28)


@pytest.mark.parametrize("make", [fifo, bound_socket, device, folder, nowhere])
def test_tars_are_regular_files(make, tmp_path):
    for name in prepare.TARS:
        make(tmp_path / name)
    with pytest.raises(UsageError, match="missing ILSVRC2012_img_train.tar"):
        prepare.prepare(tmp_path)


def test_files_of_cifar_and_idx_that_may_not_be_read_are_one_line(open_folder):
    write_binary(open_folder, "cifar10", 20)
    (open_folder / "cifar-10-batches-bin" / "data_batch_3.bin").chmod(0)
    kind, message = message_of(lambda: datasets.load("cifar10", open_folder))
    assert kind == "UsageError"
    assert "'data_batch_3.bin' cannot be read (Permission denied)" in message
    (open_folder / "cifar-10-batches-bin").chmod(0)
    kind, message = message_of(lambda: datasets.load("cifar10", open_folder))
    assert kind == "UsageError" and "(Permission denied)" in message
    for name in idx._files(idx.SETS["mnist"]):
        (open_folder / name).write_bytes(b"")
        (open_folder / name).chmod(0)
    kind, message = message_of(lambda: datasets.load("mnist", open_folder, 28))
    assert kind == "UsageError"
    assert "'train-images-idx3-ubyte' cannot be read (Permission denied)" in message


def test_a_digest_tells_arrays_by_type_shape_and_bytes():
    array = np.arange(12, dtype="uint8").reshape(3, 4)
    others = [array.astype("int8"), array.reshape(4, 3), array + 1, array[:, ::-1]]
    assert len({digest.of_arrays(a) for a in (array, *others)}) == 5
    assert digest.of_arrays(array) == digest.of_arrays(array[:, ::-1][:, ::-1])
    assert digest.of_lines([b"ab", b"c"]) != digest.of_lines([b"a", b"bc"])
