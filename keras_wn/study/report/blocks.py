"""Holds the report's content as data, which the two templates render as HTML and as Markdown.

All text is plain text. The templates escape it.
"""

import dataclasses
from typing import ClassVar

from keras_wn.study.canvas import Panel


@dataclasses.dataclass(frozen=True)
class Link:
    """Text that links to an anchor of the page.

    Attributes:
        text: The text.
        anchor: The id of the target.
        is_number: Whether the text is a result and the link leads to its trials.
    """

    kind: ClassVar[str] = "link"
    text: str
    anchor: str
    is_number: bool = False


@dataclasses.dataclass(frozen=True)
class Url:
    """Text that links to an https address."""

    kind: ClassVar[str] = "url"
    text: str
    address: str


@dataclasses.dataclass(frozen=True)
class Code:
    """Text as it is typed, for example a command."""

    kind: ClassVar[str] = "code"
    text: str


@dataclasses.dataclass(frozen=True)
class Chip:
    """A framed verdict, with a style of the page."""

    kind: ClassVar[str] = "chip"
    text: str
    style: str


# Running text: one part, or several that follow each other.
Part = str | Link | Url | Code | Chip
Text = Part | tuple[Part, ...]


@dataclasses.dataclass(frozen=True)
class Lines:
    """A table's cell of several lines."""

    kind: ClassVar[str] = "lines"
    lines: tuple[Text, ...]


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """Running text."""

    kind: ClassVar[str] = "paragraph"
    text: Text


@dataclasses.dataclass(frozen=True)
class Bullets:
    """A list."""

    kind: ClassVar[str] = "bullets"
    entries: tuple[Text, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table, whose first column names its rows.

    Attributes:
        caption: The caption.
        columns: The headings.
        rows: The rows of cells.
        style: `figures`; or `wide` if cells hold running text, so that the table becomes a list of
            cards on a phone; or `wide verdicts`.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Text | Lines, ...], ...]
    style: str = "figures"


@dataclasses.dataclass(frozen=True)
class Figures:
    """Figures that share a caption."""

    kind: ClassVar[str] = "figures"
    caption: str
    panels: tuple[Panel, ...]


@dataclasses.dataclass(frozen=True)
class TrialList:
    """Trials of one kind, folded away in the page and left out of the Markdown.

    Attributes:
        anchor: The id of the list.
        title: The title.
        columns: The headings.
        parts: Pairs of an id and rows. A row is a pair of its id and its cells.
    """

    kind: ClassVar[str] = "trials"
    anchor: str
    title: str
    columns: tuple[str, ...]
    parts: tuple[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], ...]


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and the blocks below it, which may be sections, too."""

    kind: ClassVar[str] = "section"
    anchor: str
    title: str
    blocks: tuple


@dataclasses.dataclass(frozen=True)
class Document:
    """The whole report.

    Attributes:
        title: The title.
        lead: Paragraphs before the first section.
        sections: The sections.
    """

    title: str
    lead: tuple[Paragraph, ...]
    sections: tuple[Section, ...]
