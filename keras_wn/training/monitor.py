"""Writes profiles of a run, and shows progress on the screen."""

import contextlib
import pathlib
import time
import types
from collections.abc import Callable, Iterator

import keras
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

# Where no terminal shows a bar.
_SECONDS_BETWEEN_LINES = 30.0


class Profiler:
    """Writes a profile of some steps for TensorBoard.

    Args:
        folder: Path for the profile.
        first: The first step of the profile, counted from 1; 0 for no profile.
        last: The last step.
    """

    def __init__(self, folder: pathlib.Path, first: int, last: int):
        self._folder, self._first, self._last = str(folder), first, last
        self._runs = False

    def advance(self, step: int) -> None:
        """Starts or stops the profile, now that `step` steps are done."""
        if self._runs and step >= self._last:
            self.stop()
        elif self._first and not self._runs and self._first - 1 <= step < self._last:
            self._runs = True
            _profiler().start(self._folder)

    def stop(self) -> None:
        """Ends a profile that runs, and writes it."""
        if self._runs:
            self._runs, self._first = False, 0
            _profiler().stop()


def _profiler():
    """The backend's functions to start and to stop a profile."""
    if keras.backend.backend() == "jax":
        import jax

        return types.SimpleNamespace(start=jax.profiler.start_trace, stop=jax.profiler.stop_trace)
    import tensorflow as tf

    return tf.profiler.experimental


class Screen:
    """Shows the progress of a task, with the time left.

    On a terminal it is a bar. Elsewhere it is a line every half minute.

    Args:
        shown: Boolean, whether this process shows anything. In a run of several, one does.
        stderr: Boolean, whether it is shown on the standard error instead of the standard output.
        in_background: Boolean, whether a thread redraws the bar. Without it, the bar is drawn only
            when a number is shown, so that no thread disturbs a measurement in between.
    """

    def __init__(self, shown: bool, stderr: bool = False, in_background: bool = True):
        console = Console(soft_wrap=True, stderr=stderr)
        self._in_background = in_background
        self._prints_lines = shown and not console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"),
            MofNCompleteColumn(),
            BarColumn(),
            _TimeLeft(),
            TextColumn("{task.fields[note]}"),
            console=console,
            auto_refresh=in_background,
            disable=not (shown and console.is_terminal),
            transient=True,
        )

    @contextlib.contextmanager
    def track(self, name: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
        """Scope in which progress is shown. Scopes may be nested.

        Args:
            name: The name of the counted things.
            total: The number at the end.
            done: The number at the start.

        Yields:
            Function of the number that is done by now. It also takes `total`, if that has changed,
            `seconds_left`, if the mean time so far is a bad estimate, and `note`, a text to show.
        """
        is_outermost = not self._bar.tasks
        if is_outermost:
            self._bar.start()
        task = self._bar.add_task(name, total=total, completed=done, seconds_left=None, note="")
        start = shown = time.perf_counter()
        total_at_start = total

        def show(
            number: int,
            total: int = total_at_start,
            seconds_left: float | None = None,
            note: str = "",
        ) -> None:
            nonlocal shown
            self._bar.update(
                task,
                completed=number,
                total=total,
                seconds_left=seconds_left,
                note=note,
                refresh=not self._in_background,
            )
            now = time.perf_counter()
            if self._prints_lines and now - shown > _SECONDS_BETWEEN_LINES and number < total:
                shown = now
                if seconds_left is None and number > done:
                    seconds_left = (now - start) / (number - done) * (total - number)
                text = f"{name} {number} of {total}" + (f", {note}" if note else "")
                if seconds_left is not None:
                    text += f"; about {duration(seconds_left)} left"
                print(f"{text}.", file=self._bar.console.file, flush=True)

        try:
            yield show
        finally:
            self._bar.remove_task(task)
            if is_outermost:
                self._bar.stop()


class _TimeLeft(TimeRemainingColumn):
    """The caller's estimate of the time left, or else the bar's own."""

    def render(self, task: Task) -> Text:
        seconds = task.fields["seconds_left"]
        return super().render(task) if seconds is None else Text(duration(seconds))


def duration(seconds: float) -> str:
    """A duration in words.

    Example:

    >>> duration(3700), duration(75), duration(8)
    ('1 h 1 min', '1 min 15 s', '8 s')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
