"""Builds the report as a document, and writes it as a page and as Markdown."""

import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator

import jinja2

from keras_wn.study import claims, table, verdicts
from keras_wn.study.canvas import Panel
from keras_wn.study.formatting import counted, with_unit
from keras_wn.study.report.blocks import (
    Bullets,
    Chip,
    Document,
    Figures,
    Lines,
    Link,
    Paragraph,
    Section,
    Table,
    Text,
    Url,
)
from keras_wn.study.report.protocol import protocol_section, provenance_section
from keras_wn.study.report.suites import suite_sections
from keras_wn.study.report.trials import TrialLinks
from keras_wn.study.results import Results
from keras_wn.training import files

_PAPER = Url("Gitman & Ginsburg 2017, arXiv 1709.08145", "https://arxiv.org/abs/1709.08145")
_STYLES = {
    verdicts.AGREES: "agrees",
    verdicts.DISAGREES: "disagrees",
    verdicts.UNDECIDED: "undecided",
    verdicts.UNMEASURED: "unmeasured",
}
_TAGS = {claims.READ: "read there", claims.SECOND_HAND: "read second-hand"}
# Characters that Markdown, or the HTML in it, could take for markup.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$&])")
_NARROW_EQUALS = "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"


def build_document(records: Iterable[dict]) -> Document:
    """Builds the report of a study, which is the same for the same trials.

    Args:
        records: The lines of trials.jsonl, in any order.

    Raises:
        ValueError: If the records are not the log of a study.

    Example:

    >>> records = [{"kind": "protocol", "classes": 10, "dataset": "digits"}]
    >>> build_document(records).sections[0].title
    'Verdicts'
    """
    results = Results.from_records(records)
    trials, links = results.table, TrialLinks(results.table)
    return Document(
        title="Weight normalization against batch normalization",
        lead=tuple(_lead(trials)),
        sections=(
            _verdicts(claims.judge(results), links),
            *suite_sections(results, claims.CLAIMS, links),
            protocol_section(trials),
            provenance_section(trials, links),
            links.section(),
        ),
    )


def write(
    records: Iterable[dict], out_dir: str | pathlib.Path
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes `report.html`, which needs no other file, `report.md`, and its figures in `figures/`.

    Each file is written whole or not at all.

    Args:
        records: The lines of trials.jsonl, in any order.
        out_dir: The folder, which is made if needed.

    Returns:
        Paths of the page and of the Markdown.

    Raises:
        ValueError: If the records are not the log of a study.
        OSError: If the folder cannot be written.
    """
    document = build_document(records)
    pages = {name: render(document, f"{name}.j2") for name in ("report.md", "report.html")}
    folder = pathlib.Path(out_dir)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for panel in _panels(document.sections):
        _write(folder / "figures" / f"{panel.name}.png", panel.png)
    for name, text in pages.items():
        _write(folder / name, text.encode())
    return folder / "report.html", folder / "report.md"


def render(document: Document, template: str) -> str:
    """Renders a document by one of the templates beside this file."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=lambda name: name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        parts=_parts, escape_markdown=_escape_markdown, code=_code, named_by_link=_named_by_link
    )
    return environment.get_template(template).render(document=document).rstrip() + "\n"


def _lead(trials):
    protocol = trials.protocol
    count, noise = (protocol.get("images") or {}).get("train"), protocol.get("label_noise")
    noisy = f", {100 * noise:g} % of them wrongly labelled" if noise else ""
    scale = (
        f"Data: {protocol.get('dataset')}, {count} training images{noisy}; network: "
        f"{protocol.get('model')}."
    )
    yield Paragraph(("A study after ", _PAPER, f", at the scale that the protocol says. {scale}"))
    counts = table.count_by_status(trials.frame)
    endings = ", ".join(f"{count} {status}" for status, count in counts.items())
    yield Paragraph(f"{counted(len(trials.frame), 'trial')}: {endings}.")


def _verdicts(found, links):
    lead = (
        "The paper's numbers are given as reported. They were measured on other data, networks and "
        "machines."
    )
    answers = Table(
        "The paper's claims, and what was measured here. [ ] is a 95 % interval.",
        ("Claim of the paper", "Verdict", "Measured here", "The paper reported"),
        tuple(_verdict_row(claim, verdict, links) for claim, verdict in found.items()),
        style="wide verdicts",
    )
    rules = (
        f"A number decides if its 95 % interval lies on one side of the bound, from "
        f"{verdicts.MINIMUM} pairs on; with fewer there is no verdict. A claim about WN, NormProp "
        "and WN with TReLU agrees if it decidably holds for each of them that was measured, and "
        "disagrees if it decidably fails for one. Intervals are not corrected for the number of "
        "comparisons.",
        *(f"{claim.key}: {claim.rule}" for claim in found),
    )
    decides = Section("rules", "What decides", (Bullets(rules),))
    return Section("verdicts", "Verdicts", (Paragraph(lead), answers, decides))


def _verdict_row(claim, verdict, links):
    reported = (f"{r.text} ({r.source}; {_TAGS[r.tag]})" for r in claim.reported)
    return (
        f"{claim.key}. {claim.text}",
        Lines((Chip(verdict.outcome, _STYLES[verdict.outcome]), verdict.reason)),
        Lines(tuple(_evidence(verdict.evidence, links)) or ("Not measured.",)),
        Lines(tuple(reported)),
    )


def _evidence(evidence, links) -> Iterator[Text]:
    by_quantity = itertools.groupby(evidence, lambda piece: (piece.quantity, piece.beside))
    for (quantity, beside), pieces in by_quantity:
        pieces = list(pieces)
        groups = links.link_groups(trial for piece in pieces for trial in piece.trials)
        separated = [part for link in groups for part in (", ", link)][1:]
        title = f"Beside: {quantity}" if beside else f"{quantity[0].upper()}{quantity[1:]}"
        yield (f"{title} (trials: ", *separated, ")")
        for piece in pieces:
            if piece.estimate is None:
                yield f"{piece.method}: nothing to compare"
                continue
            number = links.link(with_unit(piece.estimate, piece.unit), piece.trials)
            n = counted(piece.estimate.n, piece.pairs.removesuffix("s"))
            yield (f"{piece.method}: ", number, f", n{_NARROW_EQUALS}{n}")


def _panels(blocks) -> Iterator[Panel]:
    for block in blocks:
        if isinstance(block, Section):
            yield from _panels(block.blocks)
        elif isinstance(block, Figures):
            yield from block.panels


def _write(path, data):
    with files.atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _parts(text):
    return text if isinstance(text, tuple) else (text,)


def _escape_markdown(text):
    # Spaces at the ends separate the text from its neighbors, and are kept.
    return _SPECIAL.sub(r"\\\1", re.sub(r"\s+", " ", str(text)))


def _code(text):
    text = re.sub(r"\s+", " ", str(text)).replace("|", r"\|")
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{text}{space}{fence}"


def _named_by_link(row):
    """Links the name of a row to the trials of its first number, once for all of its numbers."""
    name, *cells = row
    anchors = [cell.anchor for cell in cells if isinstance(cell, Link) and cell.is_number]
    return [Link(name, anchors[0]) if anchors and isinstance(name, str) else name, *cells]
