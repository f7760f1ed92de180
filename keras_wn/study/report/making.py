"""The report of a study's records, as a document and as files."""

import pathlib

from keras_wn.study import analysis
from keras_wn.study.report import html, markdown, sections
from keras_wn.study.report.document import Document, Figures, Paragraph, Section, Url
from keras_wn.study.report.groups import Groups
from keras_wn.study.report.sections import provenance
from keras_wn.study.report.sections.context import Context
from keras_wn.training import files

_TITLE = "Weight normalization against batch normalization"
_PAPER = Url("Gitman & Ginsburg 2017, arXiv 1709.08145", "https://arxiv.org/abs/1709.08145")
_PAGE, _TEXT, _FIGURES = "report.html", "report.md", "figures"


def document(records):
    """The report of a study.

    Args:
        records: List of dicts, the lines of trials.jsonl, in any order.

    Returns:
        `Document`: the same for the same trials.

    Raises:
        ValueError: If the records are no study's log.

    Example:

    >>> document([{"kind": "protocol", "classes": 10, "dataset": "digits"}]).sections[0].title
    'Verdicts'
    """
    results = analysis.analyze(records)
    context = Context(results, analysis.judge(results), Groups(results.log))
    lead = (
        Paragraph(("A study after ", _PAPER, ", at the scale that the protocol says. ", _scale(context))),
        Paragraph(provenance.counts(context)),
    )
    return Document(_TITLE, lead, tuple(make(context) for make in sections.ALL))


def write(records, out_dir):
    """Writes `report.html`, which needs no other file; `report.md`; and the plots of that in `figures/`. Each is whole or absent.

    Args:
        records: List of dicts, the lines of trials.jsonl, in any order.
        out_dir: Path of a folder, which is made if need be.

    Returns:
        Paths of the HTML page and of the Markdown.

    Raises:
        ValueError: If the records are no study's log.
        OSError: If the folder cannot be written.
    """
    report = document(records)
    folder = pathlib.Path(out_dir)
    (folder / _FIGURES).mkdir(parents=True, exist_ok=True)
    for panel in _panels(report.sections):
        _write(folder / _FIGURES / f"{panel.name}.png", panel.png)
    pages = {_TEXT: markdown.render(report, _PAGE, _FIGURES), _PAGE: html.render(report)}
    for name, text in pages.items():
        _write(folder / name, text.encode())
    return folder / _PAGE, folder / _TEXT


def _scale(context):
    protocol = context.protocol
    count = (protocol.get("images") or {}).get("train")
    noise = protocol.get("label_noise")
    noisy = f", {100 * noise:g} % of them wrongly labelled" if noise else ""
    return f"Data: {protocol.get('dataset')}, {count} training images{noisy}; network: {protocol.get('model')}."


def _panels(blocks):
    for block in blocks:
        if isinstance(block, Section):
            yield from _panels(block.blocks)
        elif isinstance(block, Figures):
            yield from block.panels


def _write(path, data):
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(data)
