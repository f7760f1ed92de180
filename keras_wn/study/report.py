"""Reports a study: one page, and Markdown with its figures, from the records of trials.jsonl alone.

The report is the same for the same trials. All text is plain, and the templates escape it.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterable

import jinja2

from keras_wn import methods
from keras_wn.study import appendix, claims, sections, table
from keras_wn.study.blocks import Figures, Section, Url
from keras_wn.study.canvas import Panel, numbered
from keras_wn.study.findings import findings
from keras_wn.study.formatting import counted
from keras_wn.study.table import TrialTable
from keras_wn.study.trial_lists import TrialLinks
from keras_wn.training import files

_PAPER = Url("Gitman & Ginsburg 2017, arXiv 1709.08145", "https://arxiv.org/abs/1709.08145")
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


def build(records: Iterable[dict]) -> Report:
    """Builds the report of a study.

    Args:
        records: The lines of trials.jsonl, in any order.

    Raises:
        ValueError: If the records are not the log of a study.
    """
    trials = TrialTable.from_records(records)
    judged = claims.judge(trials)
    links = TrialLinks(trials)
    return Report(
        title="Weight normalization against batch normalization",
        paper=_PAPER,
        scale=_scale(trials),
        findings=tuple(findings(trials, judged)),
        front=Figures(
            "Test top-1 of each method minus that of batch normalization, paired by seed, with "
            f"95 % intervals. In the shaded band, methods count as equal. {_names(trials)}",
            tuple(sections.front(trials)),
        ),
        sections=(
            *sections.build(trials, judged, links),
            *appendix.build(trials, links),
            links.section(),
        ),
    )


def _names(trials):
    """What the names of the methods stand for."""
    names = [f"{methods.get(name).title} ({name})" for name in trials.request.methods]
    return f"The methods are {', '.join(names)}."


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
    report = build(records)
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
