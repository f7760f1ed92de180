"""Notes requests to stop a run: Ctrl-C, and the SIGTERM of a machine that is taken away."""

import contextlib
import signal
import threading
from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Remembers a signal to stop the run, until the training loop has finished a step.

    Attributes:
        signal: The signal that came, or None. A second one ends the run at once, by a
            `KeyboardInterrupt`.
    """

    def __init__(self):
        self.signal = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Scope in which SIGINT and SIGTERM are noted. Does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raises `Stopped` if a signal came."""
        if self.signal is not None:
            raise Stopped(self.signal)

    def _receive(self, number, frame):
        del frame  # The place in the program where the signal came does not matter.
        if self.signal is not None:
            raise Stopped(number)
        self.signal = signal.Signals(number)
        print(
            f"\n{self.signal.name}: stopping after this step. Send it again to stop at once.",
            flush=True,
        )


class Stopped(KeyboardInterrupt):
    """The run was told to stop.

    Args:
        number: The signal.

    Attributes:
        name: Its name, `SIGINT` or `SIGTERM`.
    """

    def __init__(self, number):
        self.name = signal.Signals(number).name
        super().__init__(self.name)
