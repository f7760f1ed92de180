"""A table of what was measured."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: its heading, the row's key that it shows, and how.

    Attributes:
        heading: Text.
        key: Key of the rows; `show` is given the whole row where it is None.
        show: Function from the value to text, or a format specification.
    """

    heading: str
    key: str | None
    show: object = ""

    def text(self, row):
        """The cell of a row."""
        value = row if self.key is None else row.get(self.key)
        if value is None:
            return "-"
        return format(value, self.show) if isinstance(self.show, str) else self.show(value)


# Of what is timed in turns.
TIMES = (
    Column("median, ms", "seconds", lambda seconds: f"{1e3 * seconds:.1f}"),
    Column("ratio", "ratio", ".3f"),
    Column("quartiles", None, lambda row: f"{row['low']:.3f} to {row['high']:.3f}"),
)


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows with a name each.

    Attributes:
        title: Text, what was measured.
        rows: List of dicts with `name`, of numbers and texts.
        columns: Tuple of `Column`, without the name.
        notes: Tuple of texts below the table.

    Example:

    >>> print(Table("apples", [{"name": "red", "count": 3}], (Column("count", "count"),)).text())
    apples
         count
    red      3
    """

    title: str
    rows: list
    columns: tuple = TIMES
    notes: tuple = ()

    def text(self):
        """The table as text."""
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

    def record(self):
        """The table for a JSON file."""
        return {"title": self.title, "rows": self.rows, "notes": list(self.notes)}
