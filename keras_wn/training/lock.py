"""Keeps a second process out of a folder that one process writes to."""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import pathlib
import socket
import stat
import sys
from collections.abc import Iterator
from typing import Any

from keras_wn.errors import UsageError

# File systems without locks, as some that are shared over a network, answer one of these.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
# Bytes of a lock file that are read. One of ours is shorter.
_LONGEST = 4096


@contextlib.contextmanager
def locked(path: pathlib.Path, what: str) -> Iterator[None]:
    """Scope in which no other process is in the same scope of the same file.

    The operating system releases the lock of a process that has ended, however it ended. A file
    that such a process has left is taken over.

    Args:
        path: The lock file, in a folder that exists. It is removed at the end.
        what: The flag and its value, for messages, for example `--model_dir=DIR`.

    Raises:
        UsageError: If another process is in the scope, with its number, its host, and since when.
    """
    number = _acquired(path, what)
    try:
        holder = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
        }
        os.truncate(number, 0)
        os.pwrite(number, json.dumps(holder).encode(), 0)
        yield
    finally:
        # Remove the file before unlocking it. A process that has opened a removed file tries again.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(number)


def check_unlocked(path: pathlib.Path, what: str) -> None:
    """Raises `UsageError` if another process is in the scope of a lock file."""
    if path.exists():
        with locked(path, what):
            return


def _acquired(path, what):
    """The descriptor of a locked file."""
    while True:
        try:
            number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666)
        except OSError as error:
            raise UsageError(
                f"{what}: {path.name} cannot be written ({error.strerror})."
            ) from error
        try:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise UsageError(
                    f"{what}: {path.name} is not a regular file. Allowed: a regular file, or none."
                )
            if not _is_ours(number):
                raise UsageError(f"{what}: {_in_words(_read(number))}")
            # The process before may have removed the file between its opening and its locking.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(number), os.stat(path)):
                    return number
        except BaseException:
            os.close(number)
            raise
        os.close(number)


def _is_ours(number):
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        # Without a lock, the content of the file decides.
        return not _is_alive(_read(number))
    return True


def _is_alive(holder):
    """Whether the process that a lock file names may still run."""
    if holder.get("host") != socket.gethostname():
        return bool(holder)
    try:
        os.kill(holder["process"], 0)
    except (ProcessLookupError, KeyError, TypeError, OverflowError):
        return False
    except PermissionError:
        return True
    return holder["process"] != os.getpid()


def _read(number) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(number, _LONGEST, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _in_words(holder):
    who = "another process"
    if holder:
        who = (
            f"process {holder.get('process')} on {holder.get('host')}, since {holder.get('since')},"
        )
    return f"{who} writes in this folder. Allowed: another folder, or to wait until it has ended."
