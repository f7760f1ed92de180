"""What a report is made of, from a paragraph to the whole."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """Running text.

    Attributes:
        parts: Tuple of text, `Link`, `Url`, `Code` and `Chip`; or one of these.
    """

    parts: tuple | str


@dataclasses.dataclass(frozen=True)
class Bullets:
    """A list.

    Attributes:
        items: Tuple of what `Paragraph.parts` may be.
    """

    items: tuple


@dataclasses.dataclass(frozen=True)
class Lines:
    """Several lines in a table's cell.

    Attributes:
        items: Tuple of what `Paragraph.parts` may be.
    """

    items: tuple


@dataclasses.dataclass(frozen=True)
class Table:
    """A table, whose first column names its rows.

    Attributes:
        caption: Text.
        columns: Tuple of texts.
        rows: Tuple of rows, each a tuple of what `Paragraph.parts` may be, or `Lines`.
        kind: `figures`; or `wide` where cells hold running text, so that it becomes a list of cards on a phone; or `wide verdicts`.
    """

    caption: str
    columns: tuple
    rows: tuple
    kind: str = "figures"


@dataclasses.dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
        name: Name of its file, without suffix.
        alt: What it shows, in a sentence.
        svg: Text, an `<svg>` element.
        png: Bytes.
    """

    name: str
    alt: str
    svg: str
    png: bytes


@dataclasses.dataclass(frozen=True)
class Figures:
    """Plots that belong together.

    Attributes:
        caption: Text.
        panels: Tuple of `Panel`.
    """

    caption: str
    panels: tuple


@dataclasses.dataclass(frozen=True)
class TrialTable:
    """Trials of one kind, folded away.

    Attributes:
        anchor: Identity.
        title: Text.
        columns: Tuple of texts.
        parts: Tuple of pairs of an anchor and rows, each of which is a pair of its anchor and a tuple of texts.
    """

    anchor: str
    title: str
    columns: tuple
    parts: tuple


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what is below it.

    Attributes:
        anchor: Identity.
        title: Text.
        blocks: Tuple of paragraphs, bullets, tables, figures, trial tables and sections.
    """

    anchor: str
    title: str
    blocks: tuple


@dataclasses.dataclass(frozen=True)
class Document:
    """The whole report.

    Attributes:
        title: Text.
        lead: Tuple of paragraphs that come before the first section.
        sections: Tuple of `Section`.
    """

    title: str
    lead: tuple
    sections: tuple
