"""A report as data: what it says, without how HTML or Markdown says it."""

from keras_wn.study.report.document.blocks import (
    Bullets,
    Document,
    Figures,
    Lines,
    Panel,
    Paragraph,
    Section,
    Table,
    TrialTable,
)
from keras_wn.study.report.document.parts import Chip, Code, Link, Url

__all__ = [
    "Bullets",
    "Chip",
    "Code",
    "Document",
    "Figures",
    "Lines",
    "Link",
    "Panel",
    "Paragraph",
    "Section",
    "Table",
    "TrialTable",
    "Url",
]
