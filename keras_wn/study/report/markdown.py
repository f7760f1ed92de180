"""A report as Markdown, with its plots as files beside it."""

import functools
import re

from keras_wn.study.report import document

# What Markdown or the HTML in it could take for its own.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$&])")


def render(report, page, figures):
    """The Markdown of a report.

    Args:
        report: `Document`.
        page: Relative path of the HTML page, which the trials are listed in.
        figures: Relative path of the folder that holds `NAME.png` of each panel.

    Returns:
        Text.
    """
    writer = _Writer(page, figures)
    blocks = [f"# {_text(report.title)}", *map(writer.block, report.lead)]
    for section in report.sections:
        blocks += writer.section(section, level=2)
    return "\n\n".join(block for block in blocks if block) + "\n"


def _text(text):
    # The spaces at the ends, which part it from its neighbors, are kept.
    return _SPECIAL.sub(r"\\\1", re.sub(r"\s+", " ", str(text)))


class _Writer:
    def __init__(self, page, figures):
        self._page, self._figures = page, figures

    def section(self, section, level):
        yield f"{'#' * level} {_text(section.title)}"
        for block in section.blocks:
            if isinstance(block, document.Section):
                yield from self.section(block, level + 1)
            else:
                yield self.block(block)

    @functools.singledispatchmethod
    def block(self, block):
        raise TypeError(f"{type(block).__name__} is not a block of a report.")

    @block.register
    def _(self, block: document.Paragraph):
        return self._parts(block.parts)

    @block.register
    def _(self, block: document.Bullets):
        return "\n".join(f"- {self._parts(item)}" for item in block.items)

    @block.register
    def _(self, block: document.Table):
        head = " | ".join(map(_text, block.columns))
        rows = [" | ".join(map(self._cell, _named_by_link(row))) for row in block.rows]
        line = "|".join("---" for _ in block.columns)
        return "\n".join([f"*{_text(block.caption)}*", "", f"| {head} |", f"|{line}|", *(f"| {row} |" for row in rows)])

    @block.register
    def _(self, block: document.Figures):
        images = " ".join(f"![{_text(panel.alt)}]({self._figures}/{panel.name}.png)" for panel in block.panels)
        return f"{images}\n\n*{_text(block.caption)}*"

    @block.register
    def _(self, block: document.TrialTable):
        return ""  # The page lists them.

    def _cell(self, cell):
        if isinstance(cell, document.Lines):
            return "<br>".join(map(self._parts, cell.items))
        return self._parts(cell)

    def _parts(self, parts):
        return "".join(map(self._part, parts if isinstance(parts, tuple) else (parts,)))

    def _part(self, part):
        if isinstance(part, document.Link) and not part.is_number:
            return f"[{_text(part.text)}]({self._page}#{part.anchor})"
        if isinstance(part, document.Url):
            return f"[{_text(part.text)}]({part.address})"
        if isinstance(part, document.Code):
            return _code(part.text)
        if isinstance(part, document.Chip):
            return f"**{_text(part.text)}**"
        return _text(getattr(part, "text", part))


def _named_by_link(row):
    """The row with its numbers' link on its name, once for all of them."""
    name, *cells = row
    anchors = [cell.anchor for cell in cells if isinstance(cell, document.Link) and cell.is_number]
    return [document.Link(name, anchors[0]) if anchors and isinstance(name, str) else name, *cells]


def _code(text):
    text = re.sub(r"\s+", " ", str(text)).replace("|", r"\|")
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence}{' ' if longest else ''}{text}{' ' if longest else ''}{fence}"
