"""Formats tables as text for the screen, and those of benchmarks as JSON for a file.

This file imports the standard library alone, because tests/peers/tfa_overhead.py prints its tables
with it, in an environment that has no Keras 3.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any


def aligned(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as text, with the first column to the left and the others to the right.

    Example:

    >>> print(aligned(["method", "top-1"], [["bn", "0.97"], ["wn_trelu", "0.968"]]))
    method    top-1
    bn         0.97
    wn_trelu  0.968
    """
    lines = [headings, *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


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
    """The figures of a benchmark: rows with a name each.

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
        headings = ["", *(column.heading for column in self.columns)]
        rows = [[row["name"], *(column.text(row) for column in self.columns)] for row in self.rows]
        return "\n".join([self.title, aligned(headings, rows), *self.notes])

    def record(self) -> dict[str, Any]:
        """The table for a JSON file."""
        return {"title": self.title, "rows": self.rows, "notes": list(self.notes)}
