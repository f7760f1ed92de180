"""Lays out the figures of a benchmark as a table: as text for the screen, and as JSON for a file.

This file imports the standard library alone, because tests/peers/tfa_overhead.py prints its tables
with it, in an environment that has no Keras 3.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: Text.
        key: Key of the rows whose value is shown. `show` is given the whole row where it is None.
        show: Function from the value to text, or a format specification.
    """

    heading: str
    key: str | None
    show: str | Callable[[Any], str] = ""

    def text(self, row: dict[str, Any]) -> str:
        """The cell of a row."""
        value = row if self.key is None else row.get(self.key)
        if value is None:
            return "-"
        return format(value, self.show) if isinstance(self.show, str) else self.show(value)


RATIO = Column("ratio", "ratio", ".3f")
QUARTILES = Column("quartiles", None, lambda row: f"{row['low']:.3f} to {row['high']:.3f}")
# Columns for the rows of a `Comparison` of times.
TIMES = (
    Column("median, ms", "seconds", lambda seconds: f"{1e3 * seconds:.1f}"),
    RATIO,
    QUARTILES,
)


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows with a name each.

    Attributes:
        title: Text that says what was measured.
        rows: List of dicts of numbers and texts, with the key `name`.
        columns: Sequence of `Column`, without the names.
        notes: Sequence of texts below the table.

    Example:

    >>> print(Table("apples", [{"name": "red", "count": 3}], (Column("count", "count"),)).text())
    apples
         count
    red      3
    """

    title: str
    rows: list[dict[str, Any]]
    columns: Sequence[Column] = TIMES
    notes: Sequence[str] = ()

    def text(self) -> str:
        """The table for the screen."""
        lines = [["", *(column.heading for column in self.columns)]]
        lines += [
            [row["name"], *(column.text(row) for column in self.columns)] for row in self.rows
        ]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        shown = []
        for name, *cells in lines:
            padded = [f"{cell:>{width + 2}}" for cell, width in zip(cells, widths[1:], strict=True)]
            shown.append((f"{name:<{widths[0]}}" + "".join(padded)).rstrip())
        return "\n".join([self.title, *shown, *self.notes])

    def record(self) -> dict[str, Any]:
        """The table for a JSON file."""
        return {"title": self.title, "rows": self.rows, "notes": list(self.notes)}
