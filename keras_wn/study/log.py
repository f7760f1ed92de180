"""Keeps the log of a study: a line for each trial, shared by all processes that work on it."""

import errno
import fcntl
import json
import math
import os
import pathlib
import stat
import sys
from typing import Any

from keras_wn.errors import UsageError
from keras_wn.study import protocol, records
from keras_wn.training import files

# The last commit that reports studies of protocol 1.
_LAST_OF_PROTOCOL_1 = "65dc65d"
# The figures of a benchmark of TPUs that a report shows, in bytes.
_MOVED = ("moved", "total")


class Log:
    """`trials.jsonl` in the folder of a study.

    The first line is the protocol. The other lines are appended, each as a whole, under a lock.

    Args:
        path: Path of the file, which need not exist.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        self._said_torn = False
        # A study reads its log after each trial, and the whole of it would take longer each time.
        # So these records, which end at this place in the file, are read once.
        self._records: list[dict[str, Any]] = []
        self._read_to = 0

    def make_folder(self) -> None:
        """Makes the folder, and checks that it can be written.

        Raises:
            UsageError: If it cannot.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path.parent, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise UsageError(
                f"--out={self.path.parent}: cannot be written ({error.strerror})."
            ) from error

    def start(self, record: dict[str, Any]) -> None:
        """Begins the log with the record of a protocol, or checks that the log is of this protocol.

        Raises:
            UsageError: If the log has another protocol, with the differences, or if it cannot be
                written or read.
        """
        try:
            with self._locked() as file:
                if not _end_of_whole_lines(file):
                    self._write(file, [record])
        except OSError as error:
            raise UsageError(
                f"--out={self.path.parent}: cannot be written ({error.strerror})."
            ) from error
        self.check(record)

    def check(self, record: dict[str, Any]) -> None:
        """Checks that a log that was begun is of this protocol. Writes nothing.

        Raises:
            UsageError: If it is of another one, with the differences, or if it cannot be read.
        """
        if not self._is_begun():
            return
        first = self.read()[0]
        # A log of an older version lacks the fields that came later, which have defaults.
        logged = {**first, **records.protocol_of(first).values()}
        differences = protocol.differences(logged, record)
        if differences:
            raise UsageError(
                f"--out={self.path.parent}: holds trials of another protocol: "
                f"{'; '.join(differences)}. "
                "Allowed: the same protocol, or another folder."
            )

    def append(self, *records: dict[str, Any]) -> None:
        """Appends a line for each record, all at once, and waits until the disk has them.

        Raises:
            UsageError: If the disk is full. The log is then as it was.
        """
        try:
            with self._locked() as file:
                self._write(file, records)
        except OSError as error:
            raise UsageError(
                f"--out={self.path.parent}: cannot be written ({error.strerror}). "
                "The trials in it are whole; the same command goes on from them."
            ) from error

    def withdraw_crashed(self) -> None:
        """Withdraws the trials that crashed, so that they are run again."""
        crashed = [r for r in self.trials().values() if r["status"] == "crashed"]
        if crashed:
            pairs = [[record["id"], record.get("process")] for record in crashed]
            reason = "they crashed, and were run again with --retry_crashed."
            self.append({"kind": "withdrawn", "reason": reason, "trials": pairs})

    def add_benchmark(self, path: str | os.PathLike) -> None:
        """Appends the tables of a file that `benchmark.py --what=tpu --output` wrote.

        Raises:
            UsageError: If the file is no such file, or if the log cannot be read or written.
        """
        try:
            # A device would be read without an end.
            if not pathlib.Path(path).is_file():
                raise OSError("no regular file")
            found = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
            if found["what"] != "tpu":
                raise ValueError(f"it is of --what={found['what']}")
            added = [
                {
                    "kind": "benchmark",
                    "title": str(table["title"]),
                    "rows": [
                        {"name": str(row["name"]), **{key: float(row[key]) for key in _MOVED}}
                        for row in table["rows"]
                        # A step that does not fit moves nothing.
                        if set(_MOVED) <= set(row)
                    ],
                }
                for table in found["tables"]
            ]
            sizes = [row[key] for record in added for row in record["rows"] for key in _MOVED]
            if not sizes or not all(math.isfinite(size) and size > 0 for size in sizes):
                raise ValueError("it has no step that fits, or bytes that are no positive numbers")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(
                f"--add_benchmark={path}: cannot be read ({type(error).__name__}: {error}). "
                "Allowed: a file of `benchmark.py --what=tpu --output`."
            ) from error
        self.read()
        self.append(*(record for record in added if record["rows"]))

    def read(self) -> list[dict[str, Any]]:
        """The records, from the protocol on. A torn last line is left out with a warning.

        Raises:
            UsageError: If the log cannot be read, or a line is no record.
        """
        try:
            with self._open(os.O_RDONLY) as file:
                # Waits until another process has written its line.
                fcntl.flock(file, fcntl.LOCK_SH)
                if file.seek(0, os.SEEK_END) < self._read_to:
                    self._records, self._read_to = [], 0
                file.seek(self._read_to)
                text = file.read()
        except OSError as error:
            raise self._unreadable(error) from error
        *lines, torn = text.split(b"\n")
        if torn and not self._said_torn:
            print(f"Warning: the last line of {self.path} is torn, and dropped.", file=sys.stderr)
            self._said_torn = True
        first = len(self._records) + 1
        new = [self._parsed(number, line) for number, line in enumerate(lines, start=first)]
        found = [*self._records, *new]
        self._check_version(found[0] if found else {})
        self._records, self._read_to = found, self._read_to + len(text) - len(torn)
        return list(found)

    def trials(self) -> dict[str, dict[str, Any]]:
        """The records of the trials, by identity. There are none before the log is begun."""
        return records.trials_of(self.read() if self._is_begun() else [])

    def _is_begun(self):
        try:
            with self._open(os.O_RDONLY) as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                return _end_of_whole_lines(file) > 0
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._unreadable(error) from error

    def _check_version(self, first):
        first = first if isinstance(first, dict) else {}
        if first.get("kind") == "protocol" and first.get("version") == 1:
            raise UsageError(
                f"{self.path}: a study of protocol 1, which this version neither reports nor goes "
                f"on with. Allowed: report it with `git checkout {_LAST_OF_PROTOCOL_1}`, or "
                "another folder."
            )
        if first.get("kind") != "protocol" or first.get("version") != protocol.VERSION:
            raise UsageError(
                f"{self.path}: its first line is no protocol of version {protocol.VERSION}. "
                "Allowed: a study's own log."
            )

    def _parsed(self, number, line):
        line = line.decode(errors="replace")
        try:
            record = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise UsageError(
                f"{self.path}, line {number}: not a record ({line[:60]!r}). Allowed: a study's own "
                "log."
            ) from None
        if number == 1:
            self._check_version(record)
        try:
            records.check(record)
        except ValueError as error:
            raise UsageError(f"{self.path}, line {number}: {error}.") from error
        return record

    def _locked(self):
        # Append mode could not cut a torn line off.
        file = self._open(os.O_RDWR | os.O_CREAT)
        fcntl.flock(file, fcntl.LOCK_EX)
        return file

    def _open(self, flags):
        # A pipe of this name would wait for its other end, and have no end to seek.
        number = os.open(self.path, flags | os.O_NONBLOCK, 0o666)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise OSError(errno.EINVAL, "not a regular file")
        # Without a buffer, closing writes nothing more.
        return os.fdopen(number, "r+b" if flags & os.O_RDWR else "rb", buffering=0)

    def _unreadable(self, error):
        return UsageError(
            f"--out={self.path.parent}: no trials.jsonl can be read there ({error.strerror})."
        )

    def _write(self, file, records):
        lines = "".join(
            json.dumps(files.strict(record), allow_nan=False) + "\n" for record in records
        ).encode()
        end = _end_of_whole_lines(file)
        file.truncate(end)
        file.seek(end)
        try:
            if file.write(lines) < len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def _no_constant(name):
    raise ValueError(f"{name} is no JSON")


def _end_of_whole_lines(file):
    position = file.seek(0, os.SEEK_END)
    while position:
        start = max(0, position - 4096)
        file.seek(start)
        newline = file.read(position - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        position = start
    return 0
