"""Writes files so that they are whole or absent, even after a crash at any point."""

import contextlib
import json
import math
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

# Names of temporary folders: no user's own folder is named like this.
_WRITING = ".keras_wn-writing-"


@contextlib.contextmanager
def atomic_path(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Scope of a temporary path, whose file replaces `path` atomically at the end.

    Args:
        path: Path to write. The temporary one ends in the same suffixes, which Keras' savers read.

    Raises:
        OSError: If the folder cannot be written or is full; `path` is then as it was before.
    """
    path = pathlib.Path(path)
    with tempfile.TemporaryDirectory(prefix=_WRITING, dir=path.parent) as folder:
        temporary = pathlib.Path(folder) / path.name
        yield temporary
        # The disk must have the new file before it replaces the old one.
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)


def remove_leftovers(folder: pathlib.Path) -> None:
    """Removes the temporary files that a killed process has left directly in a folder.

    Its subfolders may be those of other runs. A temporary folder of `atomic_path` holds one file at
    most, and no folder.
    """
    for leftover in pathlib.Path(folder).glob(f"{_WRITING}*"):
        if leftover.is_symlink() or not leftover.is_dir():
            continue
        found = list(leftover.iterdir())
        if len(found) <= 1 and all(path.is_file() and not path.is_symlink() for path in found):
            shutil.rmtree(leftover, ignore_errors=True)


def write_json(path: pathlib.Path, record: Any) -> None:
    """Writes `record` as indented JSON, atomically. Numbers that are not finite become null."""
    with atomic_path(path) as temporary:
        temporary.write_text(
            json.dumps(strict(record), indent=2, allow_nan=False) + "\n", encoding="utf-8"
        )


def append_json_line(path: pathlib.Path, record: dict[str, Any]) -> None:
    """Appends `record` to `path` as one line of JSON. Numbers that are not finite become null."""
    with open(path, "a", encoding="utf-8") as log:
        log.write(json.dumps(strict(record), allow_nan=False) + "\n")
        log.flush()
        os.fsync(log.fileno())


def read_json_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """Records of a JSON-lines file; a torn last line, as a crash leaves it, is left out."""
    lines = pathlib.Path(path).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


def keep_json_lines(path: pathlib.Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Keeps the records of a JSON-lines file for which `wanted(record)` is true, atomically."""
    path = pathlib.Path(path)
    if not path.exists():
        return
    kept = [record for record in read_json_lines(path) if wanted(record)]
    with atomic_path(path) as temporary:
        temporary.write_text(
            "".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8"
        )


def strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
