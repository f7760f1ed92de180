"""Counts the images that cannot be decoded, by name, up to a limit."""

import contextlib
import threading
import traceback
from collections.abc import Iterator
from typing import NoReturn

from keras_wn.errors import UsageError

_SHOWN = 5  # Names in a message; all are in `names`.
# Parts of TensorFlow's messages about damaged records.
_DAMAGED = ("corrupted record", "truncated record", "Could not parse example")


class CorruptImages:
    """The images of a run that could not be decoded.

    Args:
        limit: Number of them that a run skips.

    Example:

    >>> corrupt = CorruptImages(limit=1)
    >>> corrupt.record("n01440764_1.JPEG", "truncated")
    >>> corrupt.count, corrupt.names
    (1, ['n01440764_1.JPEG'])
    """

    def __init__(self, limit: int = 100):
        if limit < 0:
            raise UsageError(f"--max_corrupt={limit}: not allowed. Allowed: 0 or more.")
        self.limit = limit
        self._reasons = {}
        self._end = None
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Number of different images, however often they were met."""
        return len(self._reasons)

    @property
    def names(self) -> list[str]:
        """Their names, in the order in which they were met."""
        return list(self._reasons)

    def record(self, name: str, reason: str) -> None:
        """Counts an image.

        Args:
            name: String.
            reason: String, the reason that it could not be decoded.

        Raises:
            UsageError: If that is one more than the limit.
        """
        with self._lock:
            self._reasons.setdefault(name, reason)
        self.check()

    def end(self, text: str) -> NoReturn:
        """Ends the run, from within a pipeline too.

        Args:
            text: One line that says why the data can no longer be used.

        Raises:
            UsageError: Always.
        """
        with self._lock:
            self._end = self._end or text
        raise UsageError(text)

    def check(self) -> None:
        """Raises `UsageError` if the run must end: after `end`, or with more than the limit."""
        if self._end:
            raise UsageError(self._end)
        if self.count > self.limit:
            raise UsageError(f"{self.summary()} Allowed: at most --max_corrupt={self.limit}.")

    def summary(self) -> str:
        """One line with their number, and the first names with the reasons. Empty without any."""
        if not self.count:
            return ""
        with self._lock:
            shown = [
                f"{name!r} ({reason})" for name, reason in list(self._reasons.items())[:_SHOWN]
            ]
        more = f" and {self.count - _SHOWN} more" if self.count > _SHOWN else ""
        return f"Images that cannot be decoded: {self.count}: {', '.join(shown)}{more}."

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Scope in which TensorFlow's error for unusable data becomes a `UsageError`."""
        try:
            yield
        except Exception as error:
            # TensorFlow wraps the `UsageError` of a pipeline in an error of its own. A damaged
            # record is an error of TensorFlow alone, of operations that read nothing but records.
            damage = next((text for text in _DAMAGED if text in str(error)), None)
            if self._end is None and self.count <= self.limit and damage is None:
                raise
            # A pipeline that the frames keep alive would still call Python when the process ends.
            traceback.clear_frames(error.__traceback__)
            self.check()
            raise UsageError(
                f"A file of records is damaged ({damage}). Allowed: files as they were prepared."
            ) from error
