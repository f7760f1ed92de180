"""A report as one HTML page, which needs no other file and no network."""

import functools
import html
import importlib.resources
import string

from keras_wn.study.report import document


def render(report):
    """The page of a report.

    Args:
        report: `Document`.

    Returns:
        Text.
    """
    page = string.Template(_file("page.html"))
    sections = [_section(section, level=2) for section in report.sections]
    contents = "".join(f"<li>{_link(section.title, section.anchor)}</li>" for section in report.sections)
    return page.substitute(
        title=_text(report.title),
        style=_file("style.css"),
        script=_file("script.js"),
        lead="\n".join(map(_block, report.lead)),
        contents=contents,
        sections="\n".join(sections),
    )


def _file(name):
    return importlib.resources.files(__package__).joinpath("page", name).read_text(encoding="utf-8")


def _text(text):
    return html.escape(str(text), quote=True)


def _link(text, anchor):
    return f'<a href="#{_text(anchor)}">{_text(text)}</a>'


def _section(section, level):
    blocks = [
        _section(block, level + 1) if isinstance(block, document.Section) else _block(block) for block in section.blocks
    ]
    heading = f"<h{level}>{_text(section.title)}</h{level}>"
    return "\n".join([f'<section id="{_text(section.anchor)}">{heading}', *blocks, "</section>"])


def _parts(parts):
    return "".join(map(_part, parts if isinstance(parts, tuple) else (parts,)))


@functools.singledispatch
def _part(part):
    return _text(part)


@_part.register
def _(part: document.Link):
    return _link(part.text, part.anchor)


@_part.register
def _(part: document.Url):
    return f'<a href="{_text(part.address)}">{_text(part.text)}</a>'


@_part.register
def _(part: document.Code):
    return f"<code>{_text(part.text)}</code>"


@_part.register
def _(part: document.Chip):
    return f'<strong class="chip {_text(part.kind)}">{_text(part.text)}</strong>'


@functools.singledispatch
def _block(block):
    raise TypeError(f"{type(block).__name__} is not a block of a report.")


@_block.register
def _(block: document.Paragraph):
    return f"<p>{_parts(block.parts)}</p>"


@_block.register
def _(block: document.Bullets):
    return f"<ul>{''.join(f'<li>{_parts(item)}</li>' for item in block.items)}</ul>"


@_block.register
def _(block: document.Table):
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in block.columns)
    rows = "\n".join(f"<tr>{_row(row, block.columns)}</tr>" for row in block.rows)
    # The caption is not in the table, which may be wider than a phone.
    return (
        f'<p class="caption">{_text(block.caption)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{_text(block.caption)}">'
        f'<table class="{block.kind}" aria-label="{_text(block.caption)}">'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
    )


def _row(row, columns):
    first, *others = [_cell(cell) for cell in row]
    cells = [f'<td data-label="{_text(c)}">{cell}</td>' for c, cell in zip(columns[1:], others, strict=True)]
    return f'<th scope="row">{first}</th>' + "".join(cells)


def _cell(cell):
    if isinstance(cell, document.Lines):
        return "".join(f"<p>{_parts(item)}</p>" for item in cell.items)
    return _parts(cell)


@_block.register
def _(block: document.Figures):
    panels = "\n".join(
        panel.svg.replace("<svg ", f'<svg role="img" aria-label="{_text(panel.alt)}" ', 1) for panel in block.panels
    )
    return f'<figure><div class="panels">{panels}</div><figcaption>{_text(block.caption)}</figcaption></figure>'


@_block.register
def _(block: document.TrialTable):
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in block.columns)
    bodies = "\n".join(_trials(anchor, rows, block.anchor) for anchor, rows in block.parts)
    # The identity is inside, because a browser opens what its target is in.
    region = f'class="scroll" id="{_text(block.anchor)}" tabindex="0" role="region" aria-label="{_text(block.title)}"'
    table = f'<table class="trials"><thead><tr>{head}</tr></thead>\n{bodies}</table>'
    return f"<details><summary>{_text(block.title)}</summary><div {region}>{table}</div></details>"


def _trials(anchor, rows, group):
    cells = "\n".join(
        f'<tr id="{_text(row)}">' + "".join(f"<td>{_text(text)}</td>" for text in texts) + "</tr>"
        for row, texts in rows
    )
    identity = "" if anchor == group else f' id="{_text(anchor)}"'
    return f"<tbody{identity}>{cells}</tbody>"
