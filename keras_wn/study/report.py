"""Reports a study: one page, and Markdown with its figures, from the records of trials.jsonl alone.

The report is the same for the same trials. All text is plain, and the templates escape it.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterable

import jinja2

from keras_wn import methods
from keras_wn.study import appendix, questions, records, table
from keras_wn.study.blocks import Figures, Paragraph, Section, Table, Url
from keras_wn.study.canvas import Panel, numbered
from keras_wn.study.formatting import MISSING, counted, with_unit
from keras_wn.study.question import READ, SECOND_HAND, Claim
from keras_wn.study.questions import accuracy
from keras_wn.study.table import TrialTable
from keras_wn.study.trial_lists import TrialLinks
from keras_wn.study.verdicts import Verdict, in_words
from keras_wn.training import files

_PAPER = Url("Gitman & Ginsburg 2017, arXiv 1709.08145", "https://arxiv.org/abs/1709.08145")
_TAGS = {READ: "read there", SECOND_HAND: "read second-hand"}
# Characters that Markdown, or the HTML in it, could take for markup.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$&])")


@dataclasses.dataclass(frozen=True)
class Report:
    """The content of the report.

    Attributes:
        title: Text.
        paper: `Url`.
        scale: A sentence on the data, the network and the number of trials.
        findings: Sentences that say what was found.
        front: `Figures` beside them.
        sections: Sequence of `Section`.
    """

    title: str
    paper: Url
    scale: str
    findings: tuple[str, ...]
    front: Figures
    sections: tuple[Section, ...]


def build(log: Iterable[dict]) -> Report:
    """Builds the report of a study.

    Args:
        log: The lines of trials.jsonl, in any order.

    Raises:
        ValueError: If they are not the log of a study.
    """
    trials = records.table_of(log)
    judged = questions.judge(trials)
    links = TrialLinks(trials, questions.SUITES)
    of_claims = [_claim(trials, *pair, links) for pair in judged.items()]
    of_questions = [s for question in questions.QUESTIONS for s in question.sections(trials, links)]
    return Report(
        title="Weight normalization against batch normalization",
        paper=_PAPER,
        scale=_scale(trials),
        findings=tuple(questions.findings(judged)),
        front=Figures(
            "Test top-1 of each method minus that of batch normalization, paired by seed, with "
            f"95 % intervals. In the shaded band, methods count as equal. {_names(trials)}",
            tuple(accuracy.front(trials)),
        ),
        sections=(
            *of_claims,
            *of_questions,
            *appendix.build(trials, links),
            links.section(),
        ),
    )


def _claim(trials: TrialTable, claim: Claim, verdict: Verdict, links: TrialLinks) -> Section:
    """The section of a claim: its reason, its numbers, its rule and the paper's words."""
    blocks = [Paragraph(verdict.reason), *claim.evidence(trials, verdict, links)]
    if verdict.pieces:
        blocks.append(_pieces(verdict, links))
    blocks.append(Paragraph(f"Rule: {claim.rule.format(margin=trials.protocol.margin)}"))
    blocks += [
        Paragraph(f"The paper reported: {r.text} ({r.source}; {_TAGS[r.tag]})")
        for r in claim.reported
    ]
    title = f"{claim.key}. {claim.text}"
    return Section(claim.key.lower(), title, tuple(blocks), verdict.outcome, claim.key)


def _pieces(verdict, links):
    rows, before = [], None
    for piece in verdict.pieces:
        comparison = piece.comparison
        number = MISSING
        if piece.estimate is not None:
            text = with_unit(piece.estimate, comparison.unit, comparison.is_bound)
            number = links.link(text, comparison.trials)
        count = counted(piece.estimate.n, comparison.pairs[:-1]) if piece.estimate else MISSING
        # The number leads to the trials of the first side, and the pairs to those of the second.
        count = links.link(count, comparison.trials[::-1])
        name, words = comparison.name, in_words(piece)
        outcome = f"{'' if piece.decides else 'beside: '}{piece.outcome}"
        # Two numbers on one method have one outcome.
        if name == before:
            name, outcome = "", ""
        before = comparison.name
        outcome = f"{outcome} ({words})".strip() if words else outcome
        rows.append((name, comparison.quantity, number, count, outcome, comparison.note))
    columns = ("", "Quantity", "Mean [95 % interval]", "Pairs", "Outcome", "Note")
    if not any(row[-1] for row in rows):
        rows, columns = [row[:-1] for row in rows], columns[:-1]
    caption = (
        "The numbers that decide, and those beside them. Each interval is of 95 % by itself, and "
        "each outcome is corrected for the looks and the methods."
    )
    return Table(caption, columns, tuple(rows))


def _names(trials):
    """Says which method each name stands for."""
    names = [f"{methods.get(name).title} ({name})" for name in trials.methods]
    return f"The methods are {', '.join(names)}."


def write(log: Iterable[dict], out_dir: str | pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes `report.html`, which needs no other file, `report.md`, and its figures in `figures/`.

    Each file is written whole or not at all.

    Args:
        log: The lines of trials.jsonl, in any order.
        out_dir: The folder, which is made if needed.

    Returns:
        Paths of the page and of the Markdown.

    Raises:
        ValueError: If they are not the log of a study.
        OSError: If the folder cannot be written.
    """
    report = build(log)
    pages = {name: render(report, f"{name}.j2") for name in ("report.md", "report.html")}
    folder = pathlib.Path(out_dir)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for panel in _panels(report):
        _write(folder / "figures" / f"{panel.name}.png", panel.png)
    for name, text in pages.items():
        _write(folder / name, text.encode())
    return folder / "report.html", folder / "report.md"


def render(report: Report, template: str) -> str:
    """Renders a report by one of the templates beside this file."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=lambda name: name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        escape_markdown=_escape_markdown, code=_code, parts=_parts, numbered=numbered
    )
    return environment.get_template(template).render(report=report).rstrip() + "\n"


def _scale(trials: TrialTable) -> str:
    protocol, images = trials.protocol, trials.record["images"]
    counts = ", ".join(
        f"{count} {status}"
        for status, count in table.count_by_status(trials.frame).items()
        if count
    )
    return (
        f"{counted(len(trials.frame), 'trial')} ({counts}). Network {protocol.model}, "
        f"{images['train']:,} training and {images['test']:,} test images of {protocol.dataset}, "
        f"{protocol.image_size}×{protocol.image_size} pixels."
    )


def _panels(report: Report) -> Iterable[Panel]:
    yield from report.front.panels
    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, Figures):
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
