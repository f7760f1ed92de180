"""Holds the parts of the report, which the two templates render as HTML and as Markdown."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

from keras_wn.study.canvas import Panel


@dataclasses.dataclass(frozen=True)
class Link:
    """Text that links to an anchor of the page."""

    kind: ClassVar[str] = "link"
    text: str
    anchor: str


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


# Running text: one part, or several that follow each other.
Part = str | Link | Url | Code
Text = Part | tuple[Part, ...]


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
    """A table, whose first column names its rows."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]


@dataclasses.dataclass(frozen=True)
class Figures:
    """Figures that share a caption."""

    kind: ClassVar[str] = "figures"
    caption: str
    panels: tuple[Panel, ...]


def figures_of(caption: str, panels: Sequence[Panel]) -> list[Figures]:
    """Returns a block of these panels, or no block if there are none."""
    return [Figures(caption, tuple(panels))] if panels else []


@dataclasses.dataclass(frozen=True)
class TrialList:
    """Trials of one kind, folded away in the page and left out of the Markdown.

    Attributes:
        anchor: The id of the list.
        title: The title.
        columns: The headings.
        rows: Pairs of the id of a row and its cells.
    """

    kind: ClassVar[str] = "trials"
    anchor: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


Block = Paragraph | Bullets | Table | Figures | TrialList


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and the blocks below it.

    Attributes:
        anchor: The id of the section.
        title: The title.
        blocks: The blocks, in their order.
        outcome: The outcome of the claim that the section is about. Empty for other sections.
        short: The title in the list of contents.
    """

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    outcome: str = ""
    short: str = ""
